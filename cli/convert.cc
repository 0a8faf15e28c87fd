// fulmen convert: a model as one GGUF file, quantized or not.
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "base/console.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "quantize/convert.h"

namespace fulmen {
namespace {

struct ConvertOptions {
  std::string model;
  std::string file;
  std::string type = "Q8_0";
  bool quiet = false;
  int threads = 0;
};

Status Convert(const ConvertOptions& options) {
  FULMEN_ASSIGN(const Mix* mix, FindMix(options.type));
  FULMEN_ASSIGN(const ModelFiles files, ModelFiles::Open(options.model));
  FULMEN_ASSIGN(const Model model, LoadModel(files));
  FULMEN_ASSIGN(const GgufMetadata metadata, MetadataOf(files, model, *mix));
  // Stops between two pieces, so that what was written can be removed.
  const InterruptGuard interrupt;
  ThreadPool pool(options.threads);
  const size_t bytes = BytesInMix(model.config, *mix);
  {
    constexpr size_t kUnit = 1'000'000;
    Progress progress(options.quiet ? "" : "writing, megabytes",
                      static_cast<int64_t>(bytes / kUnit));
    size_t written = 0;
    FULMEN_TRY(WriteGguf(model, *mix, metadata, options.file, pool, [&](size_t piece) {
      progress.Add(static_cast<int64_t>((written + piece) / kUnit - written / kUnit));
      written += piece;
      return !interrupt.flag();
    }));
  }
  Print("{}: {}, {}\n", options.file, mix->name, HumanBytes(static_cast<int64_t>(bytes)));
  return {};
}

std::string DescribeMixes() {
  std::string text = "Types, largest first:";
  for (const Mix& mix : Mixes()) text += fmt::format("\n  {:<14}{}", mix.name, mix.summary);
  return text;
}

}  // namespace

void AddConvertCommand(Command& program) {
  auto options = std::make_shared<ConvertOptions>();
  Command& command =
      program.AddCommand("convert", "Write a model as a GGUF file, quantized or not");
  command.Add("MODEL", options->model, "Folder of the model")
      .Completes(Completion::kFolders)
      .Required();
  command.Add("OUT", options->file, "File to write").Completes(Completion::kFiles).Required();
  std::vector<std::string> names;
  for (const Mix& mix : Mixes()) names.emplace_back(mix.name);
  command.Add("--type TYPE", options->type, "Types of the weights").Choices(std::move(names));
  AddThreadsOption(command, options->threads);
  AddQuietOption(command, options->quiet);
  command.Notes(DescribeMixes());
  command.Examples({"fulmen convert models/fulmen-nano /tmp/nano.gguf --type Q8_0"});
  command.Run([options] { return Convert(*options); });
}

}  // namespace fulmen
