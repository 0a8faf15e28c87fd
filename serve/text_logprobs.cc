#include "serve/text_logprobs.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/utf8.h"

namespace fulmen {
namespace {

// A token's own or one of its alternatives. JSON has no infinity; the API says -9999 instead.
Json LogprobJson(std::string_view token, double logprob) {
  constexpr double kVeryUnlikely = -9999;
  Json bytes = Json::array();
  for (const char byte : token) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"token", ReplaceInvalidUtf8(token)},
          {"bytes", std::move(bytes)},
          {"logprob", std::max(logprob, kVeryUnlikely)}};
}

}  // namespace

void TextLogprobs::Add(const TokenSampled& token) {
  if (!token.logprob) return;
  const std::string_view text = tokenizer_.TokenBytes(token.id).value_or("");
  Json logprob = LogprobJson(text, *token.logprob);
  Json& top = logprob["top_logprobs"] = Json::array();
  for (const TokenLogprob& other : token.top) {
    top.push_back(LogprobJson(tokenizer_.TokenBytes(other.id).value_or(""), other.logprob));
  }
  tokens_.push_back({std::move(logprob), text.size()});
  bytes_ += text;
}

Json TextLogprobs::Take(std::string_view text) {
  Json taken = Json::array();
  // What is no UTF-8 was replaced in the text: then all that waits belongs to it.
  const size_t found = bytes_.find(text);
  const size_t begin = found == std::string::npos ? 0 : found;
  const size_t end = found == std::string::npos ? bytes_.size() : found + text.size();
  size_t at = 0;  // where the first of tokens_ begins
  while (!tokens_.empty() && at < end) {
    Token& token = tokens_.front();
    const size_t after = at + token.bytes;
    if (after > begin && !token.logprob.is_null()) taken.push_back(std::move(token.logprob));
    if (after > end) {
      token = {nullptr, after - end};
      break;
    }
    at = after;
    tokens_.pop_front();
  }
  bytes_.erase(0, end);
  return taken;
}

void TextLogprobs::Drop() {
  tokens_.clear();
  bytes_.clear();
}

}  // namespace fulmen
