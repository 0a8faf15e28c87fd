#include "cli/gguf_output.h"

#include <fmt/core.h>

#include <filesystem>
#include <functional>

#include "cli/calibration.h"
#include "quantize/convert.h"
#include "quantize/gguf_metadata.h"
#include "quantize/importance_file.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// What the model is read from, as far as a name can tell: GGUF files in a folder are no part of it.
std::vector<fs::path> FilesOf(const ModelFiles& files) {
  std::vector<fs::path> paths;
  for (const auto& model : {files.gguf(), files.mmproj()}) {
    if (!model) continue;
    for (const GgufPart& part : model->parts) paths.emplace_back(part.file.path());
  }
  if (files.gguf()) return paths;
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

Result<ImportanceMatrix> ImportanceFor(const ModelFiles& files, const Model& model,
                                       const GgufOutput& output) {
  if (output.imatrix.empty() && output.calibrate.empty()) return ImportanceMatrix();
  if (!IsQuantized(output.mix->base)) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "{} rounds every weight by itself, so the importance of its column changes nothing; "
        "expected a quantized type",
        output.mix->name);
  }
  ImportanceMatrix importance;
  if (!output.imatrix.empty()) {
    FULMEN_ASSIGN(importance, ReadImportance(output.imatrix));
    FULMEN_TRY(CheckImportance(importance, model));
  } else {
    FULMEN_TRY(CheckCanBeWritten(output.file));
    FULMEN_ASSIGN(
        importance,
        CalibrateOn(files, model,
                    {.text = output.calibrate, .threads = output.threads, .quiet = output.quiet}));
  }
  SayGaps(importance, model);
  return importance;
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

void AddImportanceOptions(Command& command, GgufOutput& output) {
  command
      .Add("--calibrate TEXT", output.calibrate,
           "Let the model read this text, and keep the weights closest that count most on it; - is "
           "standard input")
      .Completes(Completion::kFiles)
      .Excludes({"--imatrix"});
  command
      .Add("--imatrix FILE", output.imatrix,
           "The same with what was measured before: a file of fulmen imatrix or llama-imatrix")
      .Completes(Completion::kFiles);
}

void AddMmprojTypeOption(Command& command, GgufOutput& output) {
  const auto take = [&output](const std::string& name) {
    output.mmproj_type = DTypeFromName(name);
    return Status();
  };
  command
      .Add("--mmproj-type TYPE", take,
           "Type of the matrices that read images, which are a file of their own: "
           "mmproj-NAME.gguf beside NAME.gguf")
      .Names({"F32", "F16", "BF16", "Q8_0"})
      .Default("as they are stored");
}

Result<std::vector<GgufFile>> PlanOutput(const ModelFiles& files, const Model& model,
                                         const GgufOutput& output) {
  if (output.mmproj_type && !model.config.vision) {
    return Fail(ErrorCode::kInvalidArgument,
                "--mmproj-type is for models that read images, and {} reads text alone",
                files.path());
  }
  FULMEN_ASSIGN(std::vector<GgufFile> planned,
                PlanGguf(files, model, {*output.mix, output.mmproj_type}, output.file));
  for (const GgufFile& file : planned) FULMEN_TRY(CheckIsAnother(files, file.path));
  return planned;
}

Status WriteOutput(const ModelFiles& files, const Model& model, const GgufOutput& output,
                   std::vector<GgufFile> planned) {
  FULMEN_ASSIGN(const ImportanceMatrix importance, ImportanceFor(files, model, output));
  const GgufMetadata origin = ImportanceMetadata(importance);
  GgufMetadata& metadata = planned.front().metadata;
  metadata.insert(metadata.end(), origin.begin(), origin.end());
  // Stops between two pieces, so that what was written can be removed.
  const InterruptGuard interrupt;
  ThreadPool pool(output.threads);
  WriteProgress progress(output.quiet, static_cast<int64_t>(BytesOfTensors(planned)), interrupt);
  return WriteGguf(model, planned, importance, pool, std::ref(progress));
}

std::string NamesOf(std::span<const GgufFile> files) {
  std::string names;
  for (const GgufFile& file : files) names += (names.empty() ? "" : " and ") + file.path;
  return names;
}

}  // namespace fulmen
