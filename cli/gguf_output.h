// What the commands share that write a model as GGUF files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "quantize/gguf_files.h"
#include "quantize/mix.h"

namespace fulmen {

struct GgufOutput {
  std::string file;
  const Mix* mix = nullptr;
  std::optional<DType> mmproj_type;  // of the vision half's matrices; else they keep theirs
  bool quiet = false;
  int threads = 0;
  // Where the importance of columns comes from; both empty: all count alike.
  std::string imatrix;    // a file that has it
  std::string calibrate;  // a text to measure it on
};

// What is written of a model, in megabytes, as the writers report it: they stop once a signal came.
class WriteProgress {
 public:
  WriteProgress(bool quiet, int64_t bytes, const InterruptGuard& interrupt)
      : progress_(quiet ? "" : "writing, megabytes", bytes / kUnit), interrupt_(interrupt) {}

  bool operator()(size_t piece) {
    const int64_t before = written_;
    written_ += static_cast<int64_t>(piece);
    progress_.Add(written_ / kUnit - before / kUnit);
    return !interrupt_.flag();
  }

 private:
  static constexpr int64_t kUnit = 1'000'000;

  Progress progress_;
  const InterruptGuard& interrupt_;
  int64_t written_ = 0;
};

// Of every mix, for options that take one.
std::vector<std::string> MixNames();
// The same with what each is, for notes in a command's help.
std::string DescribeMixes();

// --calibrate and --imatrix.
void AddImportanceOptions(Command& command, GgufOutput& output);

// --mmproj-type.
void AddMmprojTypeOption(Command& command, GgufOutput& output);

// The files that the model becomes. Refuses to write over its own.
Result<std::vector<GgufFile>> PlanOutput(const ModelFiles& files, const Model& model,
                                         const GgufOutput& output);
// Writes them, and tells of the progress. What of the importance is missing goes to standard error.
Status WriteOutput(const ModelFiles& files, const Model& model, const GgufOutput& output,
                   std::vector<GgufFile> planned);
// "a.gguf and mmproj-a.gguf".
std::string NamesOf(std::span<const GgufFile> files);

}  // namespace fulmen
