// Fetches files of a model: several at a time, large ones in pieces, each until it is whole,
// checked and in its place.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fetch/host_connection.h"
#include "fetch/listing.h"
#include "fetch/model_host.h"
#include "fetch/target_folder.h"

namespace fulmen {

struct DownloadJob {
  const ModelHost& host;
  const ModelReference& model;
  const std::string& commit;
  const TargetFolder& folder;  // locked
  int parallel = 4;            // requests at a time, at least 1
  const TransferOptions& options;
  // Bytes that came, or fewer than none where some were thrown away; from any thread.
  std::function<void(int64_t)> progress;
  // A file is in its place; from any thread, one at a time.
  std::function<Status(const RemoteFile&)> finished;
};

// The first error ends all of it. What came until then stays for the next time.
Status DownloadFiles(const DownloadJob& job, const std::vector<RemoteFile>& files);

}  // namespace fulmen
