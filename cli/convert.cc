// fulmen convert: a model as one GGUF file, quantized or not.
#include <memory>
#include <string>

#include "base/console.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/gguf_output.h"
#include "cli/session.h"
#include "quantize/convert.h"

namespace fulmen {
namespace {

struct ConvertOptions {
  std::string model;
  GgufOutput output;
  std::string type = "Q8_0";
};

Status Convert(const ConvertOptions& options) {
  GgufOutput output = options.output;
  FULMEN_ASSIGN(output.mix, FindMix(options.type));
  FULMEN_ASSIGN(const ModelFiles files, ModelFiles::Open(options.model));
  FULMEN_ASSIGN(const Model model, LoadModel(files));
  FULMEN_TRY(WriteGgufFile(files, model, output));
  if (options.output.file == "-") return {};  // where the file itself went
  Print("{}: {}, {}\n", options.output.file, output.mix->name,
        HumanBytes(static_cast<int64_t>(BytesInMix(model.config, *output.mix))));
  return {};
}

}  // namespace

void AddConvertCommand(Command& program) {
  auto options = std::make_shared<ConvertOptions>();
  Command& command =
      program.AddCommand("convert", "Write a model as a GGUF file, quantized or not");
  command.Add("MODEL", options->model, "Folder or .gguf file of the model")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("OUT", options->output.file, "File to write")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("--type TYPE", options->type, "Types of the weights").Names(MixNames());
  AddImportanceOptions(command, options->output);
  AddThreadsOption(command, options->output.threads);
  AddQuietOption(command, options->output.quiet);
  command.Notes(DescribeMixes());
  command.Examples({"fulmen convert models/fulmen-nano /tmp/nano.gguf --type Q8_0"});
  command.Run([options] { return Convert(*options); });
}

}  // namespace fulmen
