#include "cli/gguf_output.h"

#include <fmt/core.h>

#include <filesystem>

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "quantize/convert.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// What the model is read from, as far as a name can tell: GGUF files in a folder are no part of it.
std::vector<fs::path> FilesOf(const ModelFiles& files) {
  std::vector<fs::path> paths;
  if (files.gguf()) {
    for (const GgufPart& part : files.gguf()->parts) paths.emplace_back(part.file.path());
    return paths;
  }
  std::error_code error;
  for (fs::directory_iterator it(files.path(), error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() != ".gguf") paths.push_back(it->path());
  }
  return paths;
}

Status CheckIsAnother(const ModelFiles& files, const std::string& out) {
  for (const fs::path& path : FilesOf(files)) {
    std::error_code missing;  // then they differ
    if (!fs::equivalent(path, out, missing) || missing) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the file to write is one of the model's own; give another name", out);
  }
  return {};
}

}  // namespace

std::vector<std::string> MixNames() {
  std::vector<std::string> names;
  for (const Mix& mix : Mixes()) names.emplace_back(mix.name);
  return names;
}

std::string DescribeMixes() {
  std::string text = "Types, largest first:";
  for (const Mix& mix : Mixes()) text += fmt::format("\n  {:<14}{}", mix.name, mix.summary);
  return text;
}

Status WriteGgufFile(const ModelFiles& files, const Model& model, const GgufOutput& output) {
  FULMEN_TRY(CheckIsAnother(files, output.file));
  FULMEN_ASSIGN(const GgufMetadata metadata, MetadataOf(files, model, *output.mix));
  // Stops between two pieces, so that what was written can be removed.
  const InterruptGuard interrupt;
  ThreadPool pool(output.threads);
  constexpr size_t kUnit = 1'000'000;
  Progress progress(output.quiet ? "" : "writing, megabytes",
                    static_cast<int64_t>(BytesInMix(model.config, *output.mix) / kUnit));
  size_t written = 0;
  return WriteGguf(model, *output.mix, metadata, output.file, pool, [&](size_t piece) {
    progress.Add(static_cast<int64_t>((written + piece) / kUnit - written / kUnit));
    written += piece;
    return !interrupt.flag();
  });
}

}  // namespace fulmen
