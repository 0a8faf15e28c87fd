#include "fetch/listing.h"

#include <algorithm>
#include <optional>

#include "base/ascii.h"
#include "base/json.h"

namespace fulmen {
namespace {

// A quarter of a million times the largest model: sums of many such sizes do not overflow.
constexpr int64_t kLargestFile = int64_t{1} << 48;

// The checksum of an entry: of a large file its "lfs" has it, beside the size that counts.
std::optional<Checksum> ChecksumOf(const Json& entry) {
  const Json& lfs = Member(entry, "lfs");
  const bool large = lfs.is_object();
  const Json& oid = Member(large ? lfs : entry, large && !lfs.contains("oid") ? "sha256" : "oid");
  if (!oid.is_string()) return std::nullopt;
  Checksum checksum = {large ? Checksum::Kind::kSha256 : Checksum::Kind::kGitBlob,
                       LowerCase(oid.get<std::string>())};
  if (checksum.hex.starts_with("sha256:")) checksum.hex.erase(0, 7);
  if (!IsHexOf(checksum.kind, checksum.hex)) return std::nullopt;
  return checksum;
}

}  // namespace

Result<std::string> ParseCommit(std::string_view text, const std::string& where) {
  FULMEN_ASSIGN(const Json json, ParseJson(text, where));
  FULMEN_ASSIGN(std::string commit, StringMember(json, "sha", where));
  if (!IsHexOf(Checksum::Kind::kGitBlob, commit)) {
    return Fail(ErrorCode::kCorrupt, "{}: \"sha\" should be 40 hexadecimal digits, found {}", where,
                Shown(Json(commit)));
  }
  return commit;
}

Status ParseTreePage(std::string_view text, const std::string& where,
                     std::vector<RemoteFile>& files) {
  FULMEN_ASSIGN(const Json json, ParseJson(text, where));
  if (!json.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected a list of files, found {}", where, Shown(json));
  }
  for (const Json& entry : json) {
    if (Member(entry, "type") != "file") continue;
    FULMEN_ASSIGN(std::string path, StringMember(entry, "path", where));
    const Json& lfs = Member(entry, "lfs");
    const Json& size = Member(lfs.is_object() && lfs.contains("size") ? lfs : entry, "size");
    const auto bytes = IntegerIn(size, 0, kLargestFile);
    if (!bytes) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: the size of \"{}\" should be a number of bytes, found {}", where, path,
                  Shown(size));
    }
    const auto checksum = ChecksumOf(entry);
    if (!checksum) {
      return Fail(ErrorCode::kCorrupt, "{}: \"{}\" has no checksum (oid), found {}", where, path,
                  Shown(entry));
    }
    files.push_back({std::move(path), *bytes, *checksum});
  }
  return {};
}

std::vector<std::string> ParseModelNames(std::string_view text) {
  const auto json = ParseJson(text, "");
  std::vector<std::string> names;
  if (!json || !json->is_array()) return names;
  constexpr size_t kMost = 1000;
  constexpr size_t kLongest = 200;
  for (const Json& model : *json) {
    const Json& id = Member(model, "id");
    if (names.size() == kMost) break;
    if (!id.is_string() || id.get_ref<const std::string&>().size() > kLongest) continue;
    names.push_back(id.get<std::string>());
  }
  return names;
}

std::string NextPageQuery(std::string_view link) {
  // <address>; rel="next", <address>; rel="last"
  while (!link.empty()) {
    const size_t open = link.find('<');
    const size_t close = link.find('>', open);
    if (close == std::string_view::npos) return "";
    const size_t end = std::min(link.find('<', close), link.size());
    const std::string_view address = link.substr(open + 1, close - open - 1);
    const std::string parameters = LowerCase(link.substr(close, end - close));
    if (parameters.find("rel=\"next\"") != std::string::npos ||
        parameters.find("rel=next") != std::string::npos) {
      const size_t query = address.find('?');
      if (query == std::string_view::npos) return "";
      return std::string(address.substr(query + 1, address.find('#', query) - query - 1));
    }
    link.remove_prefix(end);
  }
  return "";
}

}  // namespace fulmen
