// Names of files as a host lists them, which may have been made to do harm.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// What pulls keep about themselves beside a model's files.
constexpr const char* kPullFolder = ".fulmen-pull";

// Whether `path` stays in the folder it is taken relative to: names between single slashes, none of
// them "." or "..", without backslashes or control characters, short enough for a file system, and
// not in kPullFolder. What is a link on the disk shows only when the file is opened (TargetFolder).
Status CheckFileName(std::string_view path);

// Whether the shell's pattern `glob` (*, ?, [a-z]) is that of the whole path; * takes slashes, too.
bool MatchesGlob(const std::string& glob, const std::string& path);
bool IsGlob(std::string_view text);

// NAME-00002-of-00012.gguf, a part of a GGUF model in several files.
struct SplitName {
  std::string stem;  // NAME with its folders
  int part = 0;      // from 1
  int parts = 0;

  std::string PathOf(int number) const;
};
std::optional<SplitName> ParseSplitName(std::string_view path);

// Whether `path` is a GGUF file of a model's vision half: mmproj-NAME.gguf.
bool IsMmprojName(std::string_view path);
// Where that of the GGUF model `path` stands, of a split one any part, if it has one.
std::string MmprojNameOf(std::string_view path);

}  // namespace fulmen
