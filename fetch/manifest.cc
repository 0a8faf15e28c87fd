#include "fetch/manifest.h"

#include <fcntl.h>

#include <limits>

#include "base/file_io.h"
#include "base/json.h"
#include "fetch/file_name.h"

namespace fulmen {
namespace {

constexpr int kVersion = 1;

std::string ManifestName() { return std::string(kPullFolder) + "/manifest.json"; }

}  // namespace

Manifest ParseManifest(std::string_view text) {
  const auto json = ParseJson(text, "");
  if (!json || Member(*json, "version") != kVersion) return {};
  Manifest manifest;
  manifest.model = StringMember(*json, "model", "").value_or("");
  manifest.commit = StringMember(*json, "commit", "").value_or("");
  const Json& files = Member(*json, "files");
  if (!files.is_object()) return {};
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const auto& [path, file] : files.items()) {
    const auto size = IntegerIn(Member(file, "size"), 0, kMost);
    const auto modified = IntegerIn(Member(file, "modified"), -kMost, kMost);
    const auto checksum = ParseChecksum(StringMember(file, "checksum", "").value_or(""));
    if (!size || !modified || !checksum || !CheckFileName(path)) continue;
    manifest.files[path] = {*checksum, {*size, *modified}};
  }
  return manifest;
}

Manifest ReadManifest(const TargetFolder& folder) {
  if (!folder.Stamp(ManifestName())) return {};
  const auto text = ReadFile(folder.PathOf(ManifestName()));
  return text ? ParseManifest(*text) : Manifest{};
}

Status WriteManifest(const TargetFolder& folder, const Manifest& manifest) {
  Json files = Json::object();
  for (const auto& [path, file] : manifest.files) {
    files[path] = {{"checksum", file.checksum.Text()},
                   {"size", file.stamp.size},
                   {"modified", file.stamp.modified}};
  }
  const Json json = {{"version", kVersion},
                     {"model", manifest.model},
                     {"commit", manifest.commit},
                     {"files", std::move(files)}};
  // Makes the folder, and sees that it is no link.
  FULMEN_TRY(folder.Open(ManifestName() + ".new", O_WRONLY | O_CREAT));
  folder.Remove(ManifestName() + ".new");
  // Where a crash of the machine leaves no manifest, files are read to know what they are.
  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(folder.PathOf(ManifestName())));
  FULMEN_TRY(file.Write(json.dump(1) + "\n"));
  return file.CommitUnflushed();
}

}  // namespace fulmen
