// What has come of one file so far: its bytes, and a journal that says which they are. Whatever
// ends the process, the journal names no byte that was not written before it; after a crash of the
// machine it may, which the checksum shows.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "fetch/byte_ranges.h"
#include "fetch/listing.h"
#include "fetch/target_folder.h"

namespace fulmen {

struct DownloadJournal {
  std::string etag;  // of the answers the bytes came in; empty while it is not known
  ByteRanges have;
};

// nullopt where the text is no journal of this file, or names bytes beyond `written`. A last line
// that was cut short is passed over.
std::optional<DownloadJournal> ParseJournal(std::string_view text, const RemoteFile& file,
                                            int64_t written);

// Not thread-safe. The folder must outlive it.
class PartialDownload {
 public:
  // Goes on with what is there of this very file, else begins anew.
  static Result<PartialDownload> Open(const TargetFolder& folder, const RemoteFile& file);

  const ByteRanges& have() const { return journal_.have; }
  const std::string& etag() const { return journal_.etag; }

  // The bytes count once Record names them.
  Status Write(int64_t offset, std::span<const std::byte> bytes);
  Status Record(ByteRange range);
  // Once, where it is not known. One that would not fit into a line is as good as none.
  Status SetEtag(const std::string& etag);
  // Throws all bytes away.
  Status Restart();
  // Of all bytes of the file, which have to be there.
  Result<Checksum> Sum(const std::function<bool()>& stopped) const;
  // Flushes the bytes to the disk and gives them their name in the folder.
  Status Finish();
  void Remove();

 private:
  PartialDownload(const TargetFolder& folder, const RemoteFile& file);
  Status Append(const std::string& line);

  const TargetFolder* folder_;
  RemoteFile file_;
  std::string data_name_;
  std::string journal_name_;
  FileHandle data_;
  FileHandle journal_file_;
  DownloadJournal journal_;
};

// Removes what is there of files that `wanted` does not have, and the folder once it is empty.
void RemoveOtherPartials(const TargetFolder& folder,
                         const std::function<bool(const std::string&)>& wanted);
// Bytes that are there of this very file.
int64_t PartialBytes(const TargetFolder& folder, const RemoteFile& file);

}  // namespace fulmen
