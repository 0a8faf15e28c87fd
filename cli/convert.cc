// fulmen convert: a model as one GGUF file, quantized or not, and back as a folder.
#include <fmt/core.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/console.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/gguf_output.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/session.h"
#include "quantize/convert.h"
#include "quantize/folder.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  std::string model;
  std::string mmproj;
  GgufOutput output;  // or the name of a folder
  std::string type;   // empty: the default of what is written
};

constexpr const char* kFileType = "Q8_0";
constexpr const char* kFolderType = "BF16";

// A folder becomes a file under any name. So does a file under the name of one, of a pipe, say, or
// "-"; else it becomes a folder.
bool BecomesFolder(const ModelFiles& files, const std::string& out) {
  std::error_code absent;
  if (!files.gguf() || out == "-" || out.ends_with(".gguf")) return false;
  return fs::is_directory(out, absent) || !fs::exists(out, absent);
}

Status ConvertToFile(const ConvertOptions& options, const ModelFiles& files, const Model& model) {
  GgufOutput output = options.output;
  FULMEN_ASSIGN(output.mix, FindMix(options.type.empty() ? kFileType : options.type));
  FULMEN_ASSIGN(const std::vector<GgufFile> planned, PlanOutput(files, model, output));
  FULMEN_TRY(WriteOutput(files, model, output, planned));
  if (output.file == "-") return {};  // where the file itself went
  Print("{}: {}, {}\n", NamesOf(planned), output.mix->name,
        HumanBytes(static_cast<int64_t>(BytesOfTensors(planned))));
  return {};
}

Status ConvertToFolder(const ConvertOptions& options, const ModelFiles& files, const Model& model) {
  const std::string& out = options.output.file;
  if (!options.output.calibrate.empty() || !options.output.imatrix.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} is for quantized types, which a folder cannot hold; OUT should end in .gguf",
                options.output.imatrix.empty() ? "--calibrate" : "--imatrix");
  }
  if (options.output.mmproj_type) {
    return Fail(ErrorCode::kInvalidArgument,
                "--mmproj-type is for an OUT that ends in .gguf; a folder has one --type");
  }
  FULMEN_ASSIGN(const Mix* mix, FindMix(options.type.empty() ? kFolderType : options.type));
  if (IsQuantized(mix->base)) {
    return Fail(ErrorCode::kInvalidArgument,
                "--type {} is for an OUT that ends in .gguf; folders hold F32, BF16 or F16",
                mix->name);
  }
  FULMEN_ASSIGN(const FolderPlan plan, PlanFolder(files, model, mix->base));
  const auto bytes = static_cast<int64_t>(ModelFolderBytes(plan.config, plan.contents));
  const InterruptGuard interrupt;
  ThreadPool pool(options.output.threads);
  {
    WriteProgress progress(options.output.quiet, bytes, interrupt);
    FULMEN_TRY(WriteFolder(model, plan, out, pool, std::ref(progress)));
  }
  Print("{}: {}, {}\n", out, mix->name, HumanBytes(bytes));
  return {};
}

Status Convert(const ConvertOptions& options) {
  FULMEN_ASSIGN(const ModelFiles files, OpenModelFiles(options.model, options.mmproj));
  FULMEN_ASSIGN(const Model model, LoadModel(files));
  return BecomesFolder(files, options.output.file) ? ConvertToFolder(options, files, model)
                                                   : ConvertToFile(options, files, model);
}

}  // namespace

void AddConvertCommand(Command& program) {
  auto options = std::make_shared<ConvertOptions>();
  Command& command =
      program.AddCommand("convert", "Write a model as a GGUF file, or a GGUF file as a folder");
  command
      .Add("MODEL", options->model, "Folder or .gguf file of the model; of a split one, any part")
      .Completes(Completion::kFiles)
      .Required();
  command
      .Add("OUT", options->output.file,
           "File NAME.gguf to write, or of a .gguf file a folder, new or empty")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("--type TYPE", options->type, "Types of the weights; in a folder F32, BF16 or F16")
      .Names(MixNames())
      .Default(fmt::format("{}, of a folder {}", kFileType, kFolderType));
  AddMmprojOption(command, options->mmproj);
  AddMmprojTypeOption(command, options->output);
  AddImportanceOptions(command, options->output);
  AddThreadsOption(command, options->output.threads);
  AddQuietOption(command, options->output.quiet);
  command.Notes(DescribeMixes());
  command.Examples({"fulmen convert models/fulmen-nano /tmp/nano.gguf --type Q8_0",
                    "fulmen convert MiniMax-M1-Q8_0.gguf MiniMax-M1"});
  command.Run([options] { return Convert(*options); });
}

}  // namespace fulmen
