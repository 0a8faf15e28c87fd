// What every API comes down to: one prompt to be answered, once or several times.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "engine/answer_grammar.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Messages for the model's chat format.
struct ChatPrompt {
  // As in the OpenAI API (tokenizer/chat.h): role, content, name, tool_calls, tool_call_id. An
  // assistant's message may have `reasoning_content`, a string, and `handle`, a string: the turn
  // handle (AnswerStart) under which the answer was given out. If what is stored under it says the
  // same as the message, the prompt goes on from its exact tokens.
  Json messages = Json::array();
  Json tools = nullptr;               // list in the shape of the OpenAI API, or null
  bool add_generation_prompt = true;  // false: the prompt ends with the last message
  bool continue_final = false;        // the answer goes on with the last message, an assistant's
};

// Text to be continued, and tokens.
struct TextPrompt {
  std::string text;
};
struct TokenPrompt {
  std::vector<int32_t> ids;
};

// What a request says of sampling; what it does not say, the model's own defaults do.
struct SamplingRequest {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<uint64_t> seed;
  std::map<int32_t, double> logit_bias;
};

struct Generation {
  std::string model;  // as the client names it; empty: the server's first
  std::variant<ChatPrompt, TextPrompt, TokenPrompt> prompt;
  SamplingRequest sampling;
  AnswerRules rules;  // that the answers are held to
  int64_t choices = 1;
  std::optional<int64_t> max_tokens;  // 0: only the prompt is read
  bool max_tokens_must_fit = false;   // prompt and answer longer than the context: refused
  std::vector<std::string> stop;      // strings
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  int64_t min_tokens = 0;
  std::optional<int64_t> top_logprobs;  // alternatives told of each token; 0: its own alone
  std::string session;                  // continues it and keeps the answer there; "": none
  int priority = 0;
};

// What is known of the answers to one Generation before the first of them begins.
struct AnswerStart {
  std::string model;                 // as the server calls it
  const Tokenizer& tokenizer;        // of the model
  std::vector<int32_t> prompt;       // its tokens
  std::vector<std::string> handles;  // of each choice: "turn_" and 22 letters, digits, - and _,
                                     // under which its exact tokens are stored when it has ended
  int64_t created = 0;               // seconds since 1970
};

}  // namespace fulmen
