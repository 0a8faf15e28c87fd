// fulmen quantize: a model as a GGUF file of smaller weights.
#include <fmt/core.h>

#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/gguf_output.h"
#include "cli/model_path.h"
#include "cli/session.h"
#include "model/cost.h"
#include "quantize/convert.h"

namespace fulmen {
namespace {

struct QuantizeOptions {
  std::string model;
  std::string mmproj;
  GgufOutput output;
  std::string type;
  bool allow_requantize = false;
  bool json = false;
};

struct TypeSum {
  int64_t tensors = 0;
  int64_t bytes = 0;
};

struct Summary {
  std::string names;   // of the files
  std::string mmproj;  // the one of the vision half, if there is one
  std::map<DType, TypeSum> types;
  int64_t parameters = 0;
  int64_t bytes = 0;
  int64_t bytes_before = 0;
  double bits_per_weight() const {
    return 8 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
};

Summary Summarize(const Model& model, std::span<const GgufFile> files) {
  Summary summary;
  summary.names = NamesOf(files);
  if (files.size() > 1) summary.mmproj = files[1].path;
  for (const GgufFile& file : files) {
    for (const FileTensor& tensor : file.tensors) {
      const int64_t elements = ElementCount(tensor.declaration.shape);
      const auto bytes = static_cast<int64_t>(BytesOf(tensor.type, elements));
      TypeSum& sum = summary.types[tensor.type];
      ++sum.tensors;
      sum.bytes += bytes;
      summary.bytes += bytes;
    }
  }
  summary.parameters = ParameterCount(model.config);
  summary.bytes_before = static_cast<int64_t>(model.checkpoint->total_bytes());
  return summary;
}

void PrintJson(const QuantizeOptions& options, const Mix& mix, const Summary& summary,
               double seconds) {
  Json types = Json::object();
  for (const auto& [type, sum] : summary.types) {
    types[std::string(DTypeName(type))] = {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
  }
  Json json = {{"file", options.output.file},
               {"type", mix.name},
               {"parameters", summary.parameters},
               {"bytes", summary.bytes},
               {"bytes_before", summary.bytes_before},
               {"bits_per_weight", summary.bits_per_weight()},
               {"types", types},
               {"seconds", seconds}};
  if (!summary.mmproj.empty()) json["mmproj"] = summary.mmproj;
  Print("{}\n", DumpJson(json, 2));
}

void PrintSummary(const Mix& mix, const Summary& summary) {
  Print("{}: {}, {}, {:.2f} bits a weight ({} before)\n", summary.names, mix.name,
        HumanBytes(summary.bytes), summary.bits_per_weight(), HumanBytes(summary.bytes_before));
  for (const auto& [type, sum] : summary.types) {
    Print("  {:<7} {:>4} tensor{} {}\n", DTypeName(type), sum.tensors,
          sum.tensors == 1 ? ", " : "s,", HumanBytes(sum.bytes));
  }
}

Status CheckMayRequantize(const QuantizeOptions& options, const Model& model,
                          std::span<const GgufFile> planned) {
  const std::optional<Requantized> found = FindRequantized(model, planned);
  if (!found || options.allow_requantize) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{}: tensor \"{}\" is {} already, and {} made of that is worse than made of the "
              "original (--allow-requantize does it all the same)",
              options.model, found->tensor, DTypeName(found->from), DTypeName(found->to));
}

Status Quantize(const QuantizeOptions& options) {
  GgufOutput output = options.output;
  FULMEN_ASSIGN(output.mix, FindMix(options.type));
  FULMEN_ASSIGN(const ModelFiles files, OpenModelFiles(options.model, options.mmproj));
  FULMEN_ASSIGN(const Model model, LoadModel(files));
  FULMEN_ASSIGN(const std::vector<GgufFile> planned, PlanOutput(files, model, output));
  FULMEN_TRY(CheckMayRequantize(options, model, planned));
  const auto start = Clock::now();
  FULMEN_TRY(WriteOutput(files, model, output, planned));
  const double seconds = SecondsSince(start);
  if (options.output.file == "-") return {};  // where the file itself went
  const Summary summary = Summarize(model, planned);
  if (options.json) {
    PrintJson(options, *output.mix, summary, seconds);
  } else {
    PrintSummary(*output.mix, summary);
  }
  return {};
}

}  // namespace

void AddQuantizeCommand(Command& program) {
  auto options = std::make_shared<QuantizeOptions>();
  Command& command =
      program.AddCommand("quantize", "Make a model smaller: a GGUF file of fewer bits a weight");
  command.Add("IN", options->model, "Folder or .gguf file of the model; of a split one, any part")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("OUT", options->output.file, "File to write")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("TYPE", options->type, "Types of the weights").Names(MixNames()).Required();
  command.Add("--allow-requantize", options->allow_requantize,
              "Quantize tensors again that have fewer than 8 bits a weight already");
  command.Add("--json", options->json, "Print one JSON object");
  AddMmprojOption(command, options->mmproj);
  AddMmprojTypeOption(command, options->output);
  AddImportanceOptions(command, options->output);
  AddThreadsOption(command, options->output.threads);
  AddQuietOption(command, options->output.quiet);
  command.Notes(DescribeMixes());
  command.Examples({"fulmen quantize models/fulmen-nano /tmp/nano.gguf Q4_K_M"});
  command.Run([options] { return Quantize(*options); });
}

}  // namespace fulmen
