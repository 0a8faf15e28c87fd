#include "fetch/pull.h"

#include <fcntl.h>

#include <optional>
#include <set>
#include <utility>

#include "base/units.h"
#include "fetch/download.h"
#include "fetch/file_name.h"
#include "fetch/manifest.h"
#include "fetch/model_host.h"
#include "fetch/partial_download.h"
#include "fetch/target_folder.h"

namespace fulmen {
namespace {

// Whether the file is there with the bytes the host lists. Reads it where the manifest cannot tell,
// and then has the manifest tell.
Result<bool> IsThere(const TargetFolder& folder, const RemoteFile& file,
                     const TransferOptions& options, Manifest& manifest) {
  const std::optional<FileStamp> stamp = folder.Stamp(file.path);
  if (!stamp || stamp->size != file.size) return false;
  const auto known = manifest.files.find(file.path);
  if (known != manifest.files.end() && known->second.stamp == *stamp) {
    if (known->second.checksum.kind == file.checksum.kind) {
      return known->second.checksum == file.checksum;
    }
  }
  FULMEN_ASSIGN(const FileHandle handle, folder.Open(file.path, O_RDONLY));
  FULMEN_ASSIGN(const Checksum found, ComputeChecksum(file.checksum.kind, handle.get(), file.size,
                                                      folder.PathOf(file.path), options.stopped));
  if (found != file.checksum) return false;
  manifest.files[file.path] = {found, *stamp};
  return true;
}

Status CheckRoom(const TargetFolder& folder, int64_t bytes) {
  FULMEN_ASSIGN(const int64_t room, folder.FreeBytes());
  if (bytes <= room) return {};
  return Fail(ErrorCode::kNoRoom, "{} are to be fetched, but the disk of {} has room for {}",
              HumanBytes(bytes), folder.path(), HumanBytes(room));
}

// Removes what an earlier pull brought and `listed` no longer has.
std::vector<std::string> RemoveStale(const TargetFolder& folder, Manifest& manifest,
                                     const std::set<std::string>& listed) {
  std::vector<std::string> removed;
  for (const auto& [path, file] : manifest.files) {
    if (listed.contains(path)) continue;
    if (folder.Stamp(path) == file.stamp) folder.Remove(path);
    removed.push_back(path);
  }
  for (const std::string& path : removed) manifest.files.erase(path);
  return removed;
}

class Pull {
 public:
  Pull(const PullOptions& options, const PullObserver& observer, ModelHost host)
      : options_(options), observer_(observer), host_(std::move(host)) {}

  Result<PullReport> Run();

 private:
  Status FindWhatIsThere(const std::vector<RemoteFile>& chosen);
  Status Fetch();

  const PullOptions& options_;
  const PullObserver& observer_;
  ModelHost host_;
  std::optional<TargetFolder> folder_;
  Manifest manifest_;
  PullReport report_;
};

Result<PullReport> Pull::Run() {
  FULMEN_ASSIGN(report_.commit, host_.FindCommit(options_.model, options_.revision));
  FULMEN_ASSIGN(const std::vector<RemoteFile> files,
                host_.ListFiles(options_.model, report_.commit));
  FULMEN_ASSIGN(const std::vector<RemoteFile> chosen,
                ChooseFiles(files, options_.model, options_.filter));
  if (options_.dry_run) {
    FULMEN_ASSIGN(folder_, TargetFolder::OpenIfThere(options_.folder));
    FULMEN_TRY(FindWhatIsThere(chosen));
    return report_;
  }
  FULMEN_ASSIGN(folder_, TargetFolder::Create(options_.folder));
  FULMEN_TRY(folder_->Lock());
  FULMEN_TRY(FindWhatIsThere(chosen));
  FULMEN_TRY(Fetch());
  std::set<std::string> listed;
  for (const RemoteFile& file : files) listed.insert(file.path);
  report_.removed = RemoveStale(*folder_, manifest_, listed);
  RemoveOtherPartials(*folder_, [&](const std::string& path) { return listed.contains(path); });
  manifest_.commit = report_.commit;
  FULMEN_TRY(WriteManifest(*folder_, manifest_));
  return report_;
}

Status Pull::FindWhatIsThere(const std::vector<RemoteFile>& chosen) {
  if (folder_) manifest_ = ReadManifest(*folder_);
  // The files of another model in the same folder are not this one's to remove.
  if (manifest_.model != options_.model.model()) manifest_ = {};
  manifest_.model = options_.model.model();
  for (const RemoteFile& file : chosen) {
    bool there = false;
    if (folder_) {
      FULMEN_ASSIGN(there, IsThere(*folder_, file, options_.transfer, manifest_));
    }
    report_.files.push_back({file, there});
    report_.bytes += file.size;
    if (!there) report_.missing_bytes += file.size;
  }
  return {};
}

Status Pull::Fetch() {
  std::vector<RemoteFile> missing;
  int64_t there = 0;
  for (const PulledFile& each : report_.files) {
    if (each.was_there) continue;
    missing.push_back(each.file);
    there += PartialBytes(*folder_, each.file);
  }
  if (missing.empty()) return {};
  FULMEN_TRY(CheckRoom(*folder_, report_.missing_bytes - there));
  observer_.start(report_.missing_bytes, there);
  const auto finished = [this](const RemoteFile& file) -> Status {
    const auto stamp = folder_->Stamp(file.path);
    if (!stamp) return Fail(ErrorCode::kIo, "{} went away", folder_->PathOf(file.path));
    manifest_.files[file.path] = {file.checksum, *stamp};
    return WriteManifest(*folder_, manifest_);
  };
  const DownloadJob job = {.host = host_,
                           .model = options_.model,
                           .commit = report_.commit,
                           .folder = *folder_,
                           .parallel = options_.parallel,
                           .options = options_.transfer,
                           .progress = observer_.progress,
                           .finished = finished};
  return DownloadFiles(job, missing);
}

}  // namespace

Result<PullReport> PullModel(const PullOptions& options, const PullObserver& observer) {
  FULMEN_ASSIGN(ModelHost host, ModelHost::At(options.endpoint, options.token, options.transfer));
  return Pull(options, observer, std::move(host)).Run();
}

}  // namespace fulmen
