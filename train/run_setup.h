// What a run starts from: the model's geometry, its first weights, or the state it left.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "parallel/communicator.h"
#include "tokenizer/tokenizer.h"
#include "train/model_folder.h"
#include "train/run_lock.h"
#include "train/training_config.h"

namespace fulmen {

std::string TokenizerFolder(const ModelSection& model);

// How a run begins.
enum class RunStart {
  kNew,          // in a folder that nothing is in yet
  kResume,       // from the newest checkpoint in the folder
  kResumeOrNew,  // from there, or anew where there is none yet
};

// Rank 0 makes the folder and locks it, before any rank looks into it.
Result<std::optional<RunLock>> LockRun(const std::string& folder, Communicator& ranks,
                                       const std::function<void(const std::string&)>& warn);

// Whether there is nothing in the folder but a lock.
bool IsNewFolder(const std::string& folder);
// Fails if the folder is not empty.
Status CheckFolderIsNew(const std::string& folder);

// Of model.init, which must have room for every token, or of a new model with the tokenizer's
// vocabulary; with the vision half of [vision], if it describes one. Stages that train a vision
// half want one.
Result<Config> GeometryOf(const TrainingConfig& config, const Tokenizer& tokenizer);

// Those of the run's tokenizer, with the chat template of `chat`, the format of the chats it is
// trained on. Without chats a new model has none, one that goes on from another keeps what it had.
Result<TokenizerFiles> TokenizerFilesOf(const TrainingConfig& config, const Tokenizer& tokenizer,
                                        std::optional<ChatFormat> chat);

// Every step must give every rank as many batches as any other.
Status CheckRanks(const TrainingConfig& config, int ranks);
// optimizer.no_decay must name tensors that there are.
Status CheckNoDecay(const TrainingConfig& config, const Parameters& weights);
// Ranks that went on from different checkpoints would average different models.
Status CheckSameStep(int64_t step, Communicator& ranks);

// Where a run stands.
struct RunState {
  Config config;
  Parameters weights;
  Optimizer optimizer;
  int64_t step = 0;       // steps done
  size_t stage = 0;       // of the last of them
  Json stream = nullptr;  // BatchStream::State; null at the start
  double tokens = 0;
  double seconds = 0;
  TokenizerFiles tokenizer = {};     // for its checkpoints and the model
  std::vector<double> choices = {};  // of experts since the last record, [layers * experts]
};

// Weights of model.init, and random ones for what it lacks.
Result<RunState> BeginRun(const TrainingConfig& config, const Config& geometry, ThreadPool& pool);

// A run that goes on, and the broken checkpoints that were newer than what it goes on from.
struct ResumedRun {
  RunState state;
  std::vector<std::string> passed_over = {};
};

// From the newest whole checkpoint in FOLDER/checkpoints; nullopt when there is none at all. Each
// broken one is passed over with a sentence to `warn`; fails when all are. Refuses what
// CheckResumable does.
Result<std::optional<ResumedRun>> ResumeRun(const TrainingConfig& config,
                                            const std::function<void(const std::string&)>& warn);
// As `start` says.
Result<ResumedRun> StartRun(const TrainingConfig& config, RunStart start, const Config& geometry,
                            ThreadPool& pool, const std::function<void(const std::string&)>& warn);

// Before a run is written to: broken checkpoints get out of the way, so that they count as none and
// keep nothing good from staying, and what a killed run left half written goes.
Status ClearCheckpoints(const TrainingConfig& config, const std::vector<std::string>& broken);

// Into FOLDER/checkpoints; removes those beyond checkpoint.keep.
Status SaveRun(const TrainingConfig& config, const RunState& run);

}  // namespace fulmen
