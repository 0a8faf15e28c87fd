#include "train/run_setup.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "model/weights.h"
#include "train/initialize.h"
#include "train/schedule.h"

namespace fulmen {
namespace {

std::string CheckpointsFolder(const TrainingConfig& config) {
  return config.output.folder + "/checkpoints";
}

Json StateToJson(const TrainingConfig& config, const RunState& run) {
  return {{"step", run.step},
          {"stage", run.stage},
          {"stage_name", config.stages[run.stage].name},
          {"tokens", run.tokens},
          {"seconds", run.seconds},
          {"stream", run.stream},
          {"config", WriteTrainingConfig(config)}};
}

// A checkpoint with the parts of trainer.json taken out of it.
Result<RunState> RunFrom(LoadedCheckpoint loaded, const std::string& where) {
  const Json& state = loaded.state;
  RunState run{std::move(loaded.config), std::move(loaded.weights), std::move(loaded.optimizer)};
  try {
    run.step = state.at("step").get<int64_t>();
    run.stage = state.at("stage").get<size_t>();
    run.tokens = state.at("tokens").get<double>();
    run.seconds = state.at("seconds").get<double>();
    run.stream = state.at("stream");
  } catch (const nlohmann::json::exception&) {
    return Fail(ErrorCode::kCorrupt,
                "{}/trainer.json: expected step, stage, tokens, seconds and stream", where);
  }
  run.optimizer.set_steps(run.step);
  return run;
}

// The config the checkpoint was trained with.
Result<TrainingConfig> FormerConfig(const Json& state, const std::string& where) {
  const auto found = state.is_object() ? state.find("config") : state.end();
  if (!state.is_object() || found == state.end() || !found->is_string()) {
    return Fail(ErrorCode::kCorrupt, "{}/trainer.json: expected the run's config", where);
  }
  return ParseTrainingConfig(found->get<std::string>(), where + "/trainer.json");
}

Status CheckStanding(const TrainingConfig& config, const TrainingConfig& former,
                     const RunState& run) {
  if (run.step < 1 || run.stage >= former.stages.size()) {
    return Fail(ErrorCode::kCorrupt, "the state of the run is of step {} in stage {} of {}",
                run.step, run.stage, former.stages.size());
  }
  FULMEN_TRY(CheckResumable(former, config, run.stage));
  const TrainingPlan plan(config);
  if (run.step > plan.steps() || plan.At(run.step - 1).stage != run.stage) {
    return Fail(ErrorCode::kInvalidArgument,
                "the run to be resumed did {} steps and is in stage {}, which ends before that now",
                run.step, config.stages[run.stage].name);
  }
  return {};
}

}  // namespace

std::string TokenizerFolder(const ModelSection& model) {
  return model.tokenizer.empty() ? model.init : model.tokenizer;
}

Status CheckFolderIsNew(const std::string& folder) {
  std::error_code absent;
  if (!std::filesystem::exists(folder, absent) || std::filesystem::is_empty(folder, absent)) {
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{} is not empty; --resume goes on with the run in it, --output.folder names another",
              folder);
}

Result<Config> GeometryOf(const TrainingConfig& config, const Tokenizer& tokenizer) {
  if (config.model.init.empty()) {
    std::vector<int32_t> eos_ids;
    if (tokenizer.eos_id()) eos_ids.push_back(*tokenizer.eos_id());
    return ModelConfig(config.model, tokenizer.vocab_size(), std::move(eos_ids));
  }
  FULMEN_ASSIGN(Config geometry, ReadFolderConfig(config.model.init));
  if (tokenizer.vocab_size() > geometry.vocab_size) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the tokenizer has {} tokens, the model {} room for {} only",
                TokenizerFolder(config.model), tokenizer.vocab_size(), config.model.init,
                geometry.vocab_size);
  }
  return geometry;
}

Result<TokenizerFiles> TokenizerFilesOf(const TrainingConfig& config, const Tokenizer& tokenizer,
                                        std::optional<ChatFormat> chat) {
  FULMEN_ASSIGN(TokenizerFiles files, ReadTokenizerFiles(TokenizerFolder(config.model)));
  if (!chat && !config.model.init.empty()) return files;
  const auto present = DetectChatFormat(tokenizer.chat_template());
  if (!present || *present != chat) FULMEN_TRY(SetChatTemplate(chat, files));
  return files;
}

Result<RunState> BeginRun(const TrainingConfig& config, const Config& geometry, ThreadPool& pool) {
  RunState run{geometry, Parameters(geometry), Optimizer(geometry)};
  if (config.model.init.empty()) {
    InitializeWeights(geometry, static_cast<uint64_t>(config.run.seed), pool, run.weights);
  } else {
    FULMEN_ASSIGN(const Model model, LoadModel(config.model.init));
    run.weights = Parameters(geometry, model.weights);
  }
  return run;
}

Result<std::optional<RunState>> ResumeRun(const TrainingConfig& config,
                                          const std::function<void(const std::string&)>& say) {
  for (const std::string& folder : ListCheckpoints(CheckpointsFolder(config))) {
    Result<LoadedCheckpoint> loaded = LoadCheckpoint(folder);
    if (!loaded) {
      say(fmt::format("passing over a broken checkpoint: {}", PrintableMessage(loaded.error())));
      continue;
    }
    FULMEN_ASSIGN(const TrainingConfig former, FormerConfig(loaded->state, folder));
    FULMEN_ASSIGN(RunState run, RunFrom(*std::move(loaded), folder));
    FULMEN_TRY(CheckStanding(config, former, run));
    return std::optional<RunState>(std::move(run));
  }
  return std::optional<RunState>();
}

Status SaveRun(const TrainingConfig& config, const RunState& run) {
  const std::string folder = CheckpointsFolder(config);
  FULMEN_TRY(WriteCheckpoint(run.config, run.weights, run.optimizer, StateToJson(config, run),
                             run.tokenizer,
                             fmt::format("{}/{}", folder, CheckpointName(run.step))));
  RemoveOldCheckpoints(folder, config.checkpoint.keep);
  return {};
}

}  // namespace fulmen
