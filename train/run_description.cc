#include "train/run_description.h"

#include "base/printable.h"
#include "base/units.h"
#include "model/cost.h"
#include "train/prepare.h"
#include "train/run_setup.h"
#include "train/schedule.h"
#include "train/stage_data.h"
#include "train/training_memory.h"

namespace fulmen {
namespace {

std::string DescribeMemory(const TrainingConfig& config, const Config& geometry) {
  const bool recompute = config.batch.recompute;
  const TrainingMemory memory = RunMemory(config, geometry, recompute);
  const TrainingMemory other = RunMemory(config, geometry, !recompute);
  return fmt::format(
      "memory of a rank: {:.0f} bytes: weights {:.0f}, gradients {:.0f}, moments {:.0f}, "
      "activations {:.0f} ({:.0f} {} batch.recompute), workspace {:.0f}\n",
      memory.total(), memory.weights, memory.gradients, memory.moments, memory.activations,
      other.activations, recompute ? "without" : "with", memory.workspace);
}

}  // namespace

Result<std::string> DescribeRun(const TrainingConfig& config, int ranks) {
  FULMEN_TRY(CheckRanks(config, ranks));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(TokenizerFolder(config.model)));
  FULMEN_ASSIGN(const Config geometry, GeometryOf(config, tokenizer));
  FULMEN_ASSIGN(const StageData data,
                StageData::Open(config, TokenizerFingerprint(tokenizer), geometry.vision));
  const int64_t parameters = ParameterCount(geometry);
  std::string text =
      fmt::format("parameters {}, of which a token uses {} without embedding and head\n",
                  parameters, ActiveParameterCount(geometry));
  text += DescribeMemory(config, geometry);
  const TrainingPlan plan(config);
  int64_t first = 0;
  for (size_t stage = 0; stage < config.stages.size(); ++stage) {
    const int64_t end = plan.StageEnd(stage);
    const StageConfig& settings = config.stages[stage];
    text +=
        fmt::format("stage {}: steps {} to {}, up to {} tokens in pieces of {}, from",
                    Printable(settings.name), first + 1, end,
                    HumanCount(plan.TokensFrom(first) - plan.TokensFrom(end)), settings.max_length);
    for (const SourceConfig& source : settings.sources) {
      text += fmt::format(" {} ({} tokens)", Printable(source.path),
                          HumanCount(data.dataset(source.path).tokens()));
    }
    if (geometry.vision) text += fmt::format("; trains: {}", settings.trains);
    FULMEN_ASSIGN(const BatchStream stream, data.Stream(stage));
    if (stream.left_out() > 0) {
      text += fmt::format("; leaves out {} longer documents with images", stream.left_out());
    }
    text += "\n";
    first = end;
  }
  return text + fmt::format("{} steps, up to {} tokens, on {} rank{}\n", plan.steps(),
                            HumanCount(plan.TokensFrom(0)), ranks, ranks == 1 ? "" : "s");
}

}  // namespace fulmen
