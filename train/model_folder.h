// Writing models and the checkpoints of training runs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/config.h"
#include "tokenizer/chat.h"
#include "train/optimizer.h"
#include "train/parameters.h"

namespace fulmen {

// The files of a tokenizer: names and contents.
using TokenizerFiles = std::map<std::string, std::string>;
// Fails where it is no folder: a GGUF file has a tokenizer, but no files of one.
Result<TokenizerFiles> ReadTokenizerFiles(const std::string& folder);
// In place of their chat template, if there is one: ours for `format`, or none.
Status SetChatTemplate(std::optional<ChatFormat> format, TokenizerFiles& files);

// Writes a model folder that every command takes: config.json (and preprocessor_config.json where
// it reads images), model.safetensors in the original naming, `type` kF32 or kBF16, and the
// tokenizer's files. The folder appears under its name only when whole and replaces a former one.
Status WriteModelFolder(const Config& config, const Parameters& weights, DType type,
                        const TokenizerFiles& tokenizer, const std::string& folder);

// A checkpoint is a model folder in float32 with two more files: optimizer.safetensors, the moments
// as first_moment.TENSOR and second_moment.TENSOR, and trainer.json, `state` as it was given.
Status WriteCheckpoint(const Config& config, const Parameters& weights, const Optimizer& optimizer,
                       const Json& state, const TokenizerFiles& tokenizer,
                       const std::string& folder);

// "step-0000123", of the steps done.
std::string CheckpointName(int64_t step);
// Folders of that name form in `folder`, newest first; none when it does not exist.
std::vector<std::string> ListCheckpoints(const std::string& folder);
// Removes all but the `keep` newest.
void RemoveOldCheckpoints(const std::string& folder, int64_t keep);
// Renames a checkpoint to NAME.broken, so that it is no checkpoint any more.
Status SetAsideCheckpoint(const std::string& checkpoint);
// Removes what a killed process left half written in `folder`, which nobody may be writing to.
void RemovePartialCheckpoints(const std::string& folder);

struct LoadedCheckpoint {
  Config config;
  Parameters weights;
  Optimizer optimizer;  // its steps() are not set
  Json state;
};
Result<LoadedCheckpoint> LoadCheckpoint(const std::string& folder);

}  // namespace fulmen
