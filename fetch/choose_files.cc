#include "fetch/choose_files.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "base/nearest_name.h"
#include "base/printable.h"
#include "fetch/file_name.h"

namespace fulmen {
namespace {

constexpr const char* kIndexName = "model.safetensors.index.json";

using Test = std::function<bool(const std::string&)>;

bool MatchesAny(const std::vector<std::string>& globs, const std::string& path) {
  return std::ranges::any_of(globs, [&](const auto& glob) { return MatchesGlob(glob, path); });
}

bool IsWeights(const std::string& path) {
  return path.ends_with(".safetensors") && path.find('/') == std::string::npos;
}

// What is read of a model folder besides its weights.
bool IsNeeded(const std::string& path) {
  constexpr std::array kGlobs = {
      "config.json", "generation_config.json",   "tokenizer*",           "vocab.json",
      "merges.txt",  "added_tokens.json",        "chat_template*",       "special_tokens_map.json",
      kIndexName,    "preprocessor_config.json", "processor_config.json"};
  return path.find('/') == std::string::npos &&
         std::ranges::any_of(kGlobs, [&](const char* glob) { return MatchesGlob(glob, path); });
}

std::set<std::string> Names(const std::vector<RemoteFile>& files, const Test& test) {
  std::set<std::string> names;
  for (const RemoteFile& file : files) {
    if (test(file.path)) names.insert(file.path);
  }
  return names;
}

// A list for a message, which need not be long.
std::string Listed(const std::set<std::string>& names) {
  constexpr size_t kMost = 12;
  std::vector<std::string> first;
  for (const std::string& name : names) {
    if (first.size() < kMost) first.push_back(Printable(name, 100));
  }
  return fmt::format("{}{}", fmt::join(first, ", "),
                     names.size() > kMost ? fmt::format(" and {} more", names.size() - kMost) : "");
}

// The GGUF models among `paths`, a split one by its first part.
std::set<std::string> GgufModels(const std::set<std::string>& paths) {
  std::set<std::string> models;
  for (const std::string& path : paths) {
    const auto split = ParseSplitName(path);
    models.insert(split ? split->PathOf(1) : path);
  }
  return models;
}

// The vision halves of the GGUF models in `names`.
void AddMmprojs(const std::vector<RemoteFile>& files, std::set<std::string>& names) {
  std::set<std::string> wanted;
  for (const std::string& name : names) {
    if (name.ends_with(".gguf")) wanted.insert(MmprojNameOf(name));
  }
  names.merge(Names(files, [&](const auto& path) { return wanted.contains(path); }));
}

// All parts of the split models in `names`.
Status AddParts(const std::vector<RemoteFile>& files, std::set<std::string>& names) {
  const std::set<std::string> there = Names(files, [](const std::string&) { return true; });
  std::set<std::string> parts;
  for (const std::string& name : names) {
    const auto split = ParseSplitName(name);
    if (!split || parts.contains(split->PathOf(1))) continue;
    for (int number = 1; number <= split->parts; ++number) {
      const std::string part = split->PathOf(number);
      if (!there.contains(part)) {
        return Fail(ErrorCode::kNotFound, "{} is one of {} files, but {} is not listed", name,
                    split->parts, part);
      }
      parts.insert(part);
    }
  }
  names.merge(parts);
  return {};
}

Result<std::set<std::string>> NamedFiles(const std::vector<RemoteFile>& files,
                                         const ModelReference& reference) {
  const std::string& wanted = reference.file;
  std::set<std::string> names = Names(files, [&](const auto& path) { return path == wanted; });
  if (names.empty() && IsGlob(wanted)) {
    names = Names(files, [&](const auto& path) { return MatchesGlob(wanted, path); });
  }
  if (names.empty()) {
    std::vector<std::string_view> known;
    for (const RemoteFile& file : files) {
      if (file.path.size() <= 256 && known.size() < 10'000) known.push_back(file.path);
    }
    std::string hint;
    if (!known.empty()) {
      const std::string_view nearest = NearestName(wanted, known);
      if (MayMean(wanted, nearest)) hint = fmt::format("; did you mean {}?", nearest);
    }
    return Fail(ErrorCode::kNotFound, "{} has no file {}{}", reference.model(), wanted, hint);
  }
  FULMEN_TRY(AddParts(files, names));
  AddMmprojs(files, names);
  return names;
}

Result<std::set<std::string>> NeededFiles(const std::vector<RemoteFile>& files,
                                          const ModelReference& reference) {
  std::set<std::string> weights = Names(files, IsWeights);
  if (weights.empty()) {
    const std::set<std::string> models = GgufModels(Names(
        files, [](const auto& path) { return path.ends_with(".gguf") && !IsMmprojName(path); }));
    if (models.size() > 1) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{0} has {1} GGUF models, of which one should be named ({0}:FILE): {2}",
                  reference.model(), models.size(), Listed(models));
    }
    if (models.empty()) {
      return Fail(ErrorCode::kNotFound,
                  "{} has neither .safetensors nor .gguf files; --include PATTERN fetches others",
                  reference.model());
    }
    std::set<std::string> names = models;
    FULMEN_TRY(AddParts(files, names));
    AddMmprojs(files, names);
    return names;
  }
  std::set<std::string> names = Names(files, IsNeeded);
  // Beside the shards of an index some models have the same weights again in another layout.
  if (names.contains(kIndexName)) {
    const std::set<std::string> shards = Names(files, [](const auto& path) {
      return IsWeights(path) && MatchesGlob("*-of-[0-9]*.safetensors", path);
    });
    if (!shards.empty()) weights = shards;
  }
  names.merge(weights);
  return names;
}

// Whether all can be files of one folder at once.
Status CheckNames(const std::vector<RemoteFile>& chosen) {
  std::set<std::string> names;
  for (const RemoteFile& file : chosen) {
    FULMEN_TRY(CheckFileName(file.path));
    if (!names.insert(file.path).second) {
      return Fail(ErrorCode::kCorrupt, "{} is listed twice", file.path);
    }
  }
  for (const std::string& name : names) {
    for (size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
      if (!names.contains(name.substr(0, slash))) continue;
      return Fail(ErrorCode::kCorrupt, "{} is listed as a file and as a folder",
                  name.substr(0, slash));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<RemoteFile>> ChooseFiles(const std::vector<RemoteFile>& files,
                                            const ModelReference& reference,
                                            const FileFilter& filter) {
  std::set<std::string> names;
  if (!reference.file.empty()) {
    FULMEN_ASSIGN(names, NamedFiles(files, reference));
  } else if (!filter.include.empty()) {
    names = Names(files, [&](const auto& path) { return MatchesAny(filter.include, path); });
  } else {
    FULMEN_ASSIGN(names, NeededFiles(files, reference));
  }
  std::vector<RemoteFile> chosen;
  for (const RemoteFile& file : files) {
    if (names.contains(file.path) && !MatchesAny(filter.exclude, file.path)) chosen.push_back(file);
  }
  if (chosen.empty()) {
    return Fail(ErrorCode::kNotFound, "none of the {} files of {} is chosen", files.size(),
                reference.model());
  }
  FULMEN_TRY(CheckNames(chosen));
  std::ranges::sort(chosen, {}, [](const RemoteFile& file) {
    constexpr int64_t kSmall = 64 << 20;
    return std::pair(file.size > kSmall, file.path);
  });
  return chosen;
}

}  // namespace fulmen
