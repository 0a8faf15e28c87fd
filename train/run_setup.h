// What a run starts from: the model's geometry, its first weights, or the state it left.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"
#include "train/model_folder.h"
#include "train/training_config.h"

namespace fulmen {

std::string TokenizerFolder(const ModelSection& model);

// Refuses a folder that something is in already.
Status CheckFolderIsNew(const std::string& folder);

// Of model.init, which must have room for every token, or of a new model with the tokenizer's
// vocabulary.
Result<Config> GeometryOf(const TrainingConfig& config, const Tokenizer& tokenizer);

// Those of the run's tokenizer, with the chat template of `chat`, the format of the chats it is
// trained on. Without chats a new model has none, one that goes on from another keeps what it had.
Result<TokenizerFiles> TokenizerFilesOf(const TrainingConfig& config, const Tokenizer& tokenizer,
                                        std::optional<ChatFormat> chat);

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
  TokenizerFiles tokenizer = {};  // for its checkpoints and the model
};

Result<RunState> BeginRun(const TrainingConfig& config, const Config& geometry, ThreadPool& pool);

// From the newest whole checkpoint in FOLDER/checkpoints; nullopt when there is none. A broken one
// is passed over with a sentence to `say`. Refuses what CheckResumable does.
Result<std::optional<RunState>> ResumeRun(const TrainingConfig& config,
                                          const std::function<void(const std::string&)>& say);

// Into FOLDER/checkpoints; removes those beyond checkpoint.keep.
Status SaveRun(const TrainingConfig& config, const RunState& run);

}  // namespace fulmen
