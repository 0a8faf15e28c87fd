// Answers one prompt: runs a sequence through a model until it is finished.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/sequence.h"
#include "kernels/compute.h"
#include "model/forward.h"
#include "model/state.h"
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// All optional. Called on the thread that generates.
struct GenerateHooks {
  std::function<void(std::string_view text)> on_text;               // as it becomes final
  std::function<void(int64_t read, int64_t total)> on_prompt_read;  // after each chunk, in tokens
  std::function<void()> on_token;                                   // after each of the answer
  const std::atomic<bool>* cancel = nullptr;  // looked at between chunks and between tokens
};

struct GenerateTimings {
  int64_t prompt_tokens = 0;  // read before the first token of the answer
  double prompt_seconds = 0;
  int64_t decode_tokens = 0;  // read one by one after that, which is what decode_seconds went into
  double decode_seconds = 0;
};

struct GenerateResult {
  std::vector<int32_t> ids;  // without the stop token
  std::string text;          // without the stop string; empty when there is no tokenizer
  FinishReason finish_reason = FinishReason::kStop;
  bool at_stop_string = false;  // kStop because of a stop string, whose tokens `ids` still holds
  // The last tokens of prompt and answer that the state has not read. A continuation of this answer
  // begins with them.
  std::vector<int32_t> unread;
  GenerateTimings timings;
};

// Reads request.prompt from where `state` stands, then generates. `tokenizer` may be null: then
// there is no text. The prompt is read in chunks of `chunk` tokens. The tokens do not depend on the
// number of threads. After an error from the model `state` is unusable; errors in the
// request leave it untouched.
Result<GenerateResult> Generate(const Model& model, const Tokenizer* tokenizer,
                                const Compute& compute, SequenceState& state,
                                GenerateRequest request, const GenerateHooks& hooks = {},
                                int64_t chunk = 512);

// The ids that end an answer: the end of sequence of the config, the generation config and the
// tokenizer and, in a chat, the end of a turn. `tokenizer` may be null.
std::vector<int32_t> EndTokens(const Model& model, const Tokenizer* tokenizer, bool chat);

// The ids never to be sampled: unused ones, unless they end an answer. A padding token often does,
// and its embedding row is zero.
std::vector<int32_t> ForbiddenTokens(const Model& model, const Tokenizer* tokenizer);

// `defaults` with what the generation config says in their place.
SamplingParams AdvisedSampling(const GenerationConfig& advice, SamplingParams defaults);

}  // namespace fulmen
