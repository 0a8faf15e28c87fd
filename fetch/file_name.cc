#include "fetch/file_name.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/parse_number.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

constexpr size_t kLongestPath = 1024;
// Of one name: 255 bytes of a file system, of which what is beside a partial file takes some.
constexpr size_t kLongestName = 240;

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

Status CheckFileName(std::string_view path) {
  const auto refuse = [&](const char* why) {
    return Fail(ErrorCode::kCorrupt, "\"{}\" cannot be the name of a file here: {}", path, why);
  };
  if (path.size() > kLongestPath) return refuse("it is longer than 1024 bytes");
  if (path.find('\\') != std::string_view::npos) return refuse("it has a backslash");
  if (std::ranges::any_of(path, IsControl)) return refuse("it has a control character");
  if (ReplaceInvalidUtf8(path) != path) return refuse("it is not UTF-8");
  if (path.starts_with('/')) return refuse("it is absolute");
  for (std::string_view rest = path;;) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view name = rest.substr(0, slash);
    if (name.empty()) return refuse("a part of it is empty");
    if (name == "." || name == "..") return refuse("it has . or .. in it");
    if (name == kPullFolder) return refuse("the name is taken");
    if (name.size() > kLongestName) return refuse("a part of it is longer than 240 bytes");
    if (slash == rest.size()) return {};
    rest.remove_prefix(slash + 1);
  }
}

bool MatchesGlob(const std::string& glob, const std::string& path) {
  return fnmatch(glob.c_str(), path.c_str(), 0) == 0;
}

bool IsGlob(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

std::string SplitName::PathOf(int number) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, parts);
}

std::optional<SplitName> ParseSplitName(std::string_view path) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (path.size() <= kForm.size()) return std::nullopt;
  const std::string_view end = path.substr(path.size() - kForm.size());
  if (end[0] != '-' || end.substr(6, 4) != "-of-" || !end.ends_with(".gguf")) return std::nullopt;
  constexpr Range<int32_t> kParts{1, 99'999};
  const auto number = [&](size_t at) {
    const std::string_view digits = end.substr(at, 5);
    return digits.find_first_not_of("0123456789") == std::string_view::npos
               ? ParseNumber<int32_t>(digits, kParts).value_or(0)
               : 0;
  };
  SplitName name = {std::string(path.substr(0, path.size() - kForm.size())), number(1), number(10)};
  if (name.part < 1 || name.part > name.parts) return std::nullopt;
  return name;
}

bool IsMmprojName(std::string_view path) {
  return path.substr(path.rfind('/') + 1).starts_with("mmproj-") && path.ends_with(".gguf");
}

std::string MmprojNameOf(std::string_view path) {
  const auto split = ParseSplitName(path);
  std::string whole = split ? split->stem + ".gguf" : std::string(path);
  return whole.insert(whole.rfind('/') + 1, "mmproj-");
}

}  // namespace fulmen
