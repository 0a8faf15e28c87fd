// The boundary of the engine: what is asked of it, and the events that answer. Nothing above it
// sees tensors, nothing below it sees HTTP, and accounting needs no more than the events.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/answer_parser.h"
#include "engine/prompt_images.h"
#include "engine/sampler.h"
#include "grammar/grammar.h"

namespace fulmen {

enum class FinishReason : uint8_t {
  kStop,       // a stop token, a stop string or the end of the grammar
  kToolCalls,  // the same, after at least one whole call
  kLength,     // max_tokens
  kContext,    // the model can read no further token, or memory holds no longer sequence
  kCancelled,  // whoever asked does not want it any more
  kDeadline,   // it took too long
  kAllowance,  // Request::allowance is used up, and no more was to come
  kError,      // see RequestDone::status
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "tool_calls", "length", …

struct Request {
  std::vector<int32_t> prompt;      // at least one token
  std::vector<PromptImage> images;  // that tokens of it stand for, in their order
  std::vector<int64_t> borders;     // positions in it where messages end, rising: where others that
                                    // begin alike are likely to part from it
  SamplingParams sampling;          // of the first choice; each further one has the next seed
  int64_t choices = 1;              // answers, which share the reading of the prompt
  int64_t max_tokens = 0;           // of each answer; 0: the prompt is read, no more
  int64_t min_tokens = 0;           // before these no stop token is sampled
  // Tokens that its answers may sample together before Engine::Allow gives more: they wait for it
  // then. Nullopt: any number.
  std::optional<int64_t> allowance;
  // The first tokens of the answer, whatever the model says; it reads them all the same. One that
  // the grammar does not allow ends it with kError. For tests of what stands on the engine.
  std::vector<int32_t> script;
  // Logarithms of probabilities are told with each token: its own, and those of so many of the most
  // probable ones.
  std::optional<int64_t> top_logprobs;
  std::vector<int32_t> stop_tokens;       // end an answer and are not part of it
  std::vector<std::string> stop_strings;  // likewise, in its text; need a tokenizer
  AnswerFormat format;                    // what is looked for in the text
  // What an answer's text has to be; null: anything. Finished; needs a tokenizer. Stop tokens may
  // come where the text is whole, whatever min_tokens says where it cannot go on, and nowhere else;
  // where it must end it does without one. Stop strings and max_tokens cut it as ever.
  std::shared_ptr<const Grammar> grammar;
  // Who asks. Requests of one space share what was read; the keys share the machine evenly.
  std::string space;
  std::string key;
  int priority = 0;  // higher ones go first, and may push lower ones aside
  double deadline = std::numeric_limits<double>::infinity();  // seconds of the engine's clock
};

using RequestId = int64_t;

// How far the prompt has been read. The first comes at admission, with what was reused.
struct PromptProgress {
  int64_t read = 0;
  int64_t total = 0;
  int64_t cached = 0;  // of `read`: tokens that had been read for others before
};
// Probabilities are the model's own, before anything is done to its logits.
struct TokenLogprob {
  int32_t id = 0;
  double logprob = 0;
};
struct TokenSampled {
  int64_t choice = 0;
  int32_t id = 0;
  // Where they were asked for. The most probable ones come first.
  std::optional<double> logprob = {};
  std::vector<TokenLogprob> top = {};
};
// Text of an answer as it becomes final. Pieces of one kind that follow each other are one text.
struct AnswerDelta {
  int64_t choice = 0;
  AnswerPiece piece;
};
// Half of what Request::allowance or Engine::Allow gave last has been used. Told once for each.
struct AllowanceLow {
  int64_t allowed = 0;  // tokens, from the first on
};
struct AnswerFinished {
  int64_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::vector<int32_t> ids;  // without the stop token, but with those of a stop string
  std::optional<std::string> stop_string = {};  // that ended it
  int64_t reasoning_tokens = 0;
};
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;        // of the prompt: not read for this request
  int64_t output_tokens = 0;        // of all choices
  int64_t reasoning_tokens = 0;     // of these
  int64_t read_tokens = 0;          // of the prompt, with the cached ones: all, unless it was cut
  int64_t image_tokens = 0;         // of the read ones
  int64_t cached_image_tokens = 0;  // of the cached ones
};
struct Timings {
  double queue_seconds = 0;   // from submission to admission
  double prompt_seconds = 0;  // from there to the first token
  double decode_seconds = 0;  // from there to the last
};
// The last event of every request, after AnswerFinished of each of its choices.
struct RequestDone {
  Usage usage;
  Timings timings;
  Status status;  // an error where a choice ended with kError
};
using Event = std::variant<PromptProgress, TokenSampled, AnswerDelta, AllowanceLow, AnswerFinished,
                           RequestDone>;

// Hears of one request. Called on the engine's thread; it must be quick, and may submit and cancel.
using EventSink = std::function<void(RequestId, const Event&)>;

}  // namespace fulmen
