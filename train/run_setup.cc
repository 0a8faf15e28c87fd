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
          {"choices", run.choices},
          {"optimizer_steps", run.optimizer.steps()},
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
    run.choices = state.at("choices").get<std::vector<double>>();
    // Checkpoints of earlier versions lack them: every step trained everything.
    Optimizer::Steps steps = {run.step, run.step, run.step};
    if (const auto found = state.find("optimizer_steps"); found != state.end()) {
      steps = found->get<Optimizer::Steps>();
    }
    run.optimizer.set_steps(steps);
  } catch (const nlohmann::json::exception&) {
    return Fail(ErrorCode::kCorrupt,
                "{}/trainer.json: expected step, stage, tokens, seconds, stream and choices",
                where);
  }
  if (std::ssize(run.choices) != run.config.layer_count() * run.config.experts) {
    return Fail(ErrorCode::kCorrupt, "{}/trainer.json: expected {} choices, found {}", where,
                run.config.layer_count() * run.config.experts, run.choices.size());
  }
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

// Without [vision].
Result<Config> TextGeometry(const TrainingConfig& config, const Tokenizer& tokenizer) {
  if (config.model.init.empty()) {
    std::vector<int32_t> eos_ids;
    if (tokenizer.eos_id()) eos_ids.push_back(*tokenizer.eos_id());
    return ModelConfig(config.model, tokenizer.vocab_size(), std::move(eos_ids));
  }
  FULMEN_ASSIGN(const ModelFiles init, ModelFiles::Open(config.model.init));
  FULMEN_ASSIGN(Config geometry, ReadConfig(init));
  if (tokenizer.vocab_size() > geometry.vocab_size) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the tokenizer has {} tokens, the model {} room for {} only",
                TokenizerFolder(config.model), tokenizer.vocab_size(), config.model.init,
                geometry.vocab_size);
  }
  return geometry;
}

}  // namespace

std::string TokenizerFolder(const ModelSection& model) {
  return model.tokenizer.empty() ? model.init : model.tokenizer;
}

Result<std::optional<RunLock>> LockRun(const std::string& folder, Communicator& ranks,
                                       const std::function<void(const std::string&)>& warn) {
  std::optional<RunLock> lock;
  if (ranks.rank() == 0) {
    std::string warning;
    FULMEN_ASSIGN(RunLock locked, RunLock::Acquire(folder, warning));
    if (!warning.empty()) warn(warning);
    lock.emplace(std::move(locked));
  }
  FULMEN_TRY(ranks.Barrier());
  return lock;
}

Status CheckRanks(const TrainingConfig& config, int ranks) {
  const int64_t smallest =
      config.batch.warmup_batches > 0 ? config.batch.warmup_batches : config.batch.batches;
  if (smallest % ranks == 0) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} ranks cannot share {} batches evenly: batch.batches (and batch.warmup_batches) "
              "should be a multiple of the ranks",
              ranks, smallest);
}

Status CheckNoDecay(const TrainingConfig& config, const Parameters& weights) {
  for (const std::string& part : config.optimizer.no_decay) {
    bool matched = false;
    for (size_t i = 0; i < weights.size() && !matched; ++i) {
      matched = !IsDecayed(weights.tensor(i), {part});
    }
    if (!matched) {
      return Fail(ErrorCode::kInvalidArgument,
                  "optimizer.no_decay: no tensor's name contains \"{}\"", part);
    }
  }
  return {};
}

Status CheckSameStep(int64_t step, Communicator& ranks) {
  std::vector<int64_t> steps(static_cast<size_t>(ranks.size()));
  FULMEN_TRY(ranks.AllGather({&step, 1}, steps));
  for (size_t rank = 0; rank < steps.size(); ++rank) {
    if (steps[rank] == steps[0]) continue;
    return Fail(ErrorCode::kCorrupt,
                "rank 0 would go on after step {}, rank {} after step {}: they do not see the same "
                "checkpoints",
                steps[0], rank, steps[rank]);
  }
  return {};
}

bool IsNewFolder(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::exists(folder, error)) return true;
  fs::directory_iterator it(folder, error);
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    if (it->path().filename() != RunLock::kFileName) return false;
  }
  return !error;
}

Status CheckFolderIsNew(const std::string& folder) {
  if (IsNewFolder(folder)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} is not empty; --resume goes on with the run in it, --output.folder names another",
              folder);
}

Result<Config> GeometryOf(const TrainingConfig& config, const Tokenizer& tokenizer) {
  FULMEN_ASSIGN(Config geometry, TextGeometry(config, tokenizer));
  if (config.vision.width > 0) {
    FULMEN_TRY(AddVision(config.vision, tokenizer.TokenId("<image>"), geometry));
  }
  for (const StageConfig& stage : config.stages) {
    if (stage.trains == "all" || geometry.vision) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "stage {} trains the {} of a model that reads images, this one reads text alone",
                stage.name, stage.trains);
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
  run.choices.resize(static_cast<size_t>(geometry.layer_count() * geometry.experts));
  if (config.model.init.empty()) {
    InitializeWeights(geometry, static_cast<uint64_t>(config.run.seed), pool, run.weights);
  } else {
    FULMEN_ASSIGN(const Model model, LoadModel(config.model.init));
    run.weights.Copy(model.config, model.weights);
    if (!model.config.vision) {
      InitializeVision(geometry, static_cast<uint64_t>(config.run.seed), pool, run.weights);
    }
  }
  return run;
}

Result<std::optional<ResumedRun>> ResumeRun(const TrainingConfig& config,
                                            const std::function<void(const std::string&)>& warn) {
  std::vector<std::string> broken;
  for (const std::string& folder : ListCheckpoints(CheckpointsFolder(config))) {
    Result<LoadedCheckpoint> loaded = LoadCheckpoint(folder);
    if (!loaded) {
      warn(fmt::format("passing over a broken checkpoint: {}", PrintableMessage(loaded.error())));
      broken.push_back(folder);
      continue;
    }
    FULMEN_ASSIGN(const TrainingConfig former, FormerConfig(loaded->state, folder));
    FULMEN_ASSIGN(RunState run, RunFrom(*std::move(loaded), folder));
    FULMEN_TRY(CheckStanding(config, former, run));
    return std::optional<ResumedRun>({std::move(run), std::move(broken)});
  }
  if (broken.empty()) return std::optional<ResumedRun>();
  return Fail(ErrorCode::kCorrupt, "{}: every checkpoint is broken", CheckpointsFolder(config));
}

Status ClearCheckpoints(const TrainingConfig& config, const std::vector<std::string>& broken) {
  for (const std::string& checkpoint : broken) FULMEN_TRY(SetAsideCheckpoint(checkpoint));
  RemovePartialCheckpoints(CheckpointsFolder(config));
  return {};
}

Result<ResumedRun> StartRun(const TrainingConfig& config, RunStart start, const Config& geometry,
                            ThreadPool& pool, const std::function<void(const std::string&)>& warn) {
  if (start != RunStart::kNew) {
    FULMEN_ASSIGN(std::optional<ResumedRun> resumed, ResumeRun(config, warn));
    if (resumed) return *std::move(resumed);
    if (start == RunStart::kResume) {
      return Fail(ErrorCode::kNotFound,
                  "{} has no checkpoint to go on from; --resume-or-start begins anew then",
                  config.output.folder);
    }
  }
  FULMEN_ASSIGN(RunState state, BeginRun(config, geometry, pool));
  return ResumedRun{std::move(state), {}};
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
