#include "train/training_check.h"

#include <algorithm>

#include "train/initialize.h"
#include "train/schedule.h"
#include "train/training_fields.h"

namespace fulmen {
namespace {

template <class... Args>
tl::unexpected<Error> Refuse(const std::string& where, fmt::format_string<Args...> format,
                             Args&&... args) {
  return Fail(ErrorCode::kInvalidArgument, "{}: {}", where,
              fmt::format(format, std::forward<Args>(args)...));
}

Status CheckModel(const ModelSection& model, const std::set<std::string>& given,
                  const std::string& where) {
  if (!model.init.empty()) {
    for (const std::string& name : given) {
      if (name.starts_with("model.") && name != "model.init" && name != "model.tokenizer") {
        return Refuse(where, "{} contradicts model.init, whose geometry is taken", name);
      }
    }
    return {};
  }
  if (model.tokenizer.empty()) {
    return Refuse(where, "model.tokenizer is missing: the folder that sets the vocabulary");
  }
  if (!model.attn_type_list.empty() && given.contains("model.softmax_every")) {
    return Refuse(where, "model.softmax_every and model.attn_type_list contradict each other");
  }
  if (!model.attn_type_list.empty() &&
      std::cmp_not_equal(model.attn_type_list.size(), model.layers)) {
    return Refuse(where, "model.attn_type_list has {} entries, model.layers says {}",
                  model.attn_type_list.size(), model.layers);
  }
  if (model.heads % model.kv_heads != 0) {
    return Refuse(where, "model.heads {} should be a multiple of model.kv_heads {}", model.heads,
                  model.kv_heads);
  }
  if (model.rotary_dim % 2 != 0 || model.rotary_dim > model.head_dim) {
    return Refuse(where, "model.rotary_dim {} should be even and at most model.head_dim {}",
                  model.rotary_dim, model.head_dim);
  }
  if (model.experts_per_token > model.experts) {
    return Refuse(where, "model.experts_per_token {} exceeds model.experts {}",
                  model.experts_per_token, model.experts);
  }
  return {};
}

Status CheckVision(const VisionSection& vision, const std::string& where) {
  if (vision.width == 0) {
    if (vision == VisionSection()) return {};
    return Refuse(where, "[vision] wants vision.width, the width of the tower");
  }
  if (vision.width % vision.heads != 0) {
    return Refuse(where, "vision.width {} should be a multiple of vision.heads {}", vision.width,
                  vision.heads);
  }
  for (const std::vector<int64_t>& grid : vision.grids) {
    if (grid.size() != 2) {
      return Refuse(where, "vision.grids should hold pairs [columns, rows], found {} numbers",
                    grid.size());
    }
  }
  return CheckTileRules(TilesOf(vision), where + ": [vision]");
}

Status CheckBatch(const BatchSection& batch, const std::string& where) {
  if ((batch.warmup_batches > 0) != (batch.warmup_steps > 0)) {
    return Refuse(where,
                  "batch.warmup_batches is {} and batch.warmup_steps {}: a batch-size warm-up "
                  "needs both above 0",
                  batch.warmup_batches, batch.warmup_steps);
  }
  if (batch.warmup_batches > 0 && batch.batches % batch.warmup_batches != 0) {
    return Refuse(where, "batch.batches {} should be a multiple of batch.warmup_batches {}",
                  batch.batches, batch.warmup_batches);
  }
  return {};
}

Status CheckStage(const TrainingConfig& config, const StageConfig& stage,
                  const std::string& where) {
  if (stage.name.empty() || stage.name.find('.') != std::string::npos) {
    return Refuse(where, "a stage needs a name without dots, found \"{}\"", stage.name);
  }
  if (std::count_if(config.stages.begin(), config.stages.end(),
                    [&](const StageConfig& other) { return other.name == stage.name; }) > 1) {
    return Refuse(where, "two stages are called \"{}\"", stage.name);
  }
  if ((stage.steps > 0) == (stage.tokens > 0)) {
    return Refuse(where, "stage {} should have either steps or tokens, found {} and {}", stage.name,
                  stage.steps, stage.tokens);
  }
  const int64_t tokens = StageBatchTokens(config, stage);
  if (stage.max_length > tokens) {
    return Refuse(where, "stage {}: max_length {} does not fit into a batch of {} tokens",
                  stage.name, stage.max_length, tokens);
  }
  if (stage.sources.empty()) {
    return Refuse(where, "stage {} has no sources to learn from", stage.name);
  }
  return {};
}

// The names and values of a section's fields that a resumed run may not change.
std::vector<std::pair<std::string, std::string>> FixedFields(const Section& section) {
  std::vector<std::pair<std::string, std::string>> fixed;
  for (const Field& field : section.fields) {
    if (field.on_resume != OnResume::kFixed) continue;
    fixed.emplace_back(fmt::format("{}.{}", section.name, field.name), FormatField(field.value));
  }
  return fixed;
}

Status CompareFixed(const Section& before, const Section& now) {
  const auto old_fields = FixedFields(before);
  const auto new_fields = FixedFields(now);
  for (size_t i = 0; i < old_fields.size(); ++i) {
    if (old_fields[i].second == new_fields[i].second) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "{} was {} in the run to be resumed and is {} now; start a new run for that, with "
                "model.init for these weights",
                old_fields[i].first, old_fields[i].second, new_fields[i].second);
  }
  return {};
}

}  // namespace

Status CheckTrainingConfig(const TrainingConfig& config, const std::set<std::string>& given,
                           const std::string& where) {
  FULMEN_TRY(CheckModel(config.model, given, where));
  FULMEN_TRY(CheckVision(config.vision, where));
  FULMEN_TRY(CheckBatch(config.batch, where));
  if (config.stages.empty()) {
    return Refuse(where, "at least one [[stages]] is needed, found none");
  }
  for (const StageConfig& stage : config.stages) FULMEN_TRY(CheckStage(config, stage, where));
  const int64_t steps = TrainingPlan(config).steps();
  if (config.schedule.warmup_steps >= steps) {
    return Refuse(where, "schedule.warmup_steps {} leaves nothing of the {} steps of all stages",
                  config.schedule.warmup_steps, steps);
  }
  if (config.output.folder.empty()) {
    return Refuse(where, "output.folder is missing: the folder the run is kept in");
  }
  return {};
}

Status CheckResumable(const TrainingConfig& before, const TrainingConfig& now, size_t stage) {
  TrainingConfig old_copy = before;
  TrainingConfig new_copy = now;
  const std::vector<Section> old_sections = TrainingSections(old_copy);
  const std::vector<Section> new_sections = TrainingSections(new_copy);
  for (size_t i = 0; i < old_sections.size(); ++i) {
    FULMEN_TRY(CompareFixed(old_sections[i], new_sections[i]));
  }
  for (size_t i = 0; i <= stage; ++i) {
    if (i >= new_copy.stages.size()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the run to be resumed is in stage {}, which the config has no more",
                  old_copy.stages[stage].name);
    }
    // The stage under way may still become longer or shorter.
    if (i == stage) {
      new_copy.stages[i].steps = old_copy.stages[i].steps;
      new_copy.stages[i].tokens = old_copy.stages[i].tokens;
    }
    FULMEN_TRY(CompareFixed(StageSection(old_copy.stages[i]), StageSection(new_copy.stages[i])));
  }
  return {};
}

}  // namespace fulmen
