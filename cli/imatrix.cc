// fulmen imatrix: how much each column of a model's weights counts on a text.
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "cli/calibration.h"
#include "cli/commands.h"
#include "cli/model_path.h"
#include "cli/session.h"
#include "quantize/importance_file.h"

namespace fulmen {
namespace {

struct ImatrixOptions {
  std::string model;
  std::string file;
  CalibrationOptions calibration;
  bool json = false;
};

Status MakeImatrix(const ImatrixOptions& options) {
  FULMEN_TRY(CheckCanBeWritten(options.file));
  FULMEN_ASSIGN(const ModelFiles files, OpenModelFiles(options.model));
  FULMEN_ASSIGN(const Model model, LoadModel(files));
  const auto start = Clock::now();
  FULMEN_ASSIGN(const ImportanceMatrix importance, CalibrateOn(files, model, options.calibration));
  const double seconds = SecondsSince(start);
  FULMEN_TRY(WriteImportance(importance, options.file));
  SayGaps(importance, model);
  if (options.file == "-") return {};  // where the file itself went
  if (options.json) {
    Print("{}\n", DumpJson({{"file", options.file},
                            {"tensors", importance.entries.size()},
                            {"chunks", importance.chunks},
                            {"chunk_size", importance.chunk_size},
                            {"experts_not_reached", FindGaps(importance, model).experts},
                            {"seconds", seconds}}));
  } else {
    Print("{}: {} tensors, {} chunks of {} tokens\n", options.file, importance.entries.size(),
          importance.chunks, importance.chunk_size);
  }
  return {};
}

}  // namespace

void AddImatrixCommand(Command& program) {
  auto options = std::make_shared<ImatrixOptions>();
  Command& command = program.AddCommand(
      "imatrix", "Measure on a text which weights count most, for quantize --imatrix");
  command.Add("MODEL", options->model, "Folder or .gguf file of the model")
      .Completes(Completion::kFiles)
      .Required();
  command
      .Add("TEXT", options->calibration.text,
           "The text, like those the model is meant for; "
           "- is standard input")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("OUT", options->file, "File to write").Completes(Completion::kFiles).Required();
  command.Add("--context N", options->calibration.context,
              "Tokens of a chunk; each begins with an empty state", {1, int64_t{1} << 31});
  command.Add("--json", options->json, "Print one JSON object");
  AddThreadsOption(command, options->calibration.threads);
  AddQuietOption(command, options->calibration.quiet);
  command.Examples({"fulmen imatrix models/fulmen-nano README.md /tmp/nano-imatrix.gguf"});
  command.Run([options] { return MakeImatrix(*options); });
}

}  // namespace fulmen
