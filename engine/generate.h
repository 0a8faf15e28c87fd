// Answers one request on an engine, for those who wait for it; and what a model says of its
// answers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/request.h"
#include "model/weights.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// All optional. Called on the thread that generates.
struct GenerateHooks {
  std::function<void(const AnswerPiece&)> on_piece;           // as it becomes final
  std::function<void(const PromptProgress&)> on_prompt_read;  // after each chunk
  std::function<void()> on_token;                             // after each of the answer
  const std::atomic<bool>* cancel = nullptr;                  // looked at between steps
};

struct GenerateResult {
  std::vector<int32_t> ids;  // without the stop token
  std::string reasoning;     // both without the stop string; empty when there is no tokenizer
  std::string text;
  FinishReason finish_reason = FinishReason::kStop;
  bool at_stop_string = false;  // kStop because of a stop string, whose tokens `ids` still holds
  Usage usage;
  Timings timings;
};

// Submits a request for one answer and does the engine's steps until it is there. For an engine
// that nobody else runs.
Result<GenerateResult> Generate(Engine& engine, const Request& request,
                                const GenerateHooks& hooks = {});

// The ids that end an answer: the end of sequence of the config, the generation config and the
// tokenizer and, in a chat, the end of a turn. `tokenizer` may be null.
std::vector<int32_t> EndTokens(const Model& model, const Tokenizer* tokenizer, bool chat);

// The ids never to be sampled: unused ones, unless they end an answer (a padding token often does,
// and its embedding row is zero), and the image token, which stands for nothing without an image.
std::vector<int32_t> ForbiddenTokens(const Model& model, const Tokenizer* tokenizer);

// Where messages begin in a prompt of the family's chat formats, but for its start.
std::vector<int64_t> MessageBorders(const Tokenizer& tokenizer, std::span<const int32_t> prompt);

// How a model's answers are made where nobody says otherwise: as its generation config advises,
// else as the family does (the README of M1, the hosted API of Text-01). A text being continued has
// no natural end, so it gets a short length. The seed is for the caller to set.
struct AnswerDefaults {
  SamplingParams sampling;
  int64_t max_tokens;
};
AnswerDefaults DefaultsFor(const GenerationConfig& advice, std::optional<ChatFormat> format);

}  // namespace fulmen
