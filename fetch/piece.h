// A file on its way, and one piece of it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>

#include "base/status.h"
#include "fetch/download.h"
#include "fetch/host_connection.h"
#include "fetch/partial_download.h"

namespace fulmen {

struct Transit {
  explicit Transit(const RemoteFile& which) : file(which) {}

  // Throws all bytes away, to fetch them again; the mutex is held. Fails where that happened too
  // often.
  Status Restart(const DownloadJob& job);

  const RemoteFile& file;
  std::mutex mutex;  // guards all below
  std::optional<PartialDownload> partial;
  std::deque<ByteRange> missing;  // that nobody fetches yet
  // The first request shows whether the host gives ranges; until then it is the only one.
  bool in_ranges = false;
  int active = 0;      // threads that fetch a piece or finish the file
  int generation = 0;  // raised by Restart: pieces under way are then in vain
  int restarts = 0;
  int64_t counted = 0;   // bytes that the job was told of, and those that were there before
  bool resumed = false;  // some bytes are of an earlier process
  bool done = false;
};

// By as many requests as it takes. Several pieces of one file may be fetched at the same time, each
// by one thread.
class Piece {
 public:
  // `wake` is called when more pieces of the file may be taken. All must outlive the piece.
  Piece(const DownloadJob& job, Transit& transit, ByteRange range, int generation,
        const std::function<void()>& wake);

  // Ends without an error, too, when all bytes of the file were thrown away meanwhile.
  Status Fetch(HostConnection& connection, const TransferOptions& options);

 private:
  GetRequest Request();
  Status Start(const GetResponse& response);
  Status TakePart(const GetResponse& response);
  // Other threads may take pieces of the file, too.
  Status BeginRanges();
  // The whole file comes, although a part of it was asked for.
  Status TakeWhole(const GetResponse& response);
  Status TakeBytes(std::span<const std::byte> bytes);
  Status CheckLength(const GetResponse& response) const;
  // Writes down what came; true where the piece is over: whole, or in vain.
  Result<bool> Settle(bool answered);
  Status Record();
  // Its bytes were thrown away; the mutex is held.
  bool stale() const { return transit_.generation != generation_; }

  const DownloadJob& job_;
  Transit& transit_;
  ByteRange range_;
  int generation_;
  const std::function<void()>& wake_;
  int64_t position_;      // behind the last byte that came
  int64_t recorded_;      // and behind the last one that was written down
  bool in_part_ = false;  // whether the request under way asked for a part
};

}  // namespace fulmen
