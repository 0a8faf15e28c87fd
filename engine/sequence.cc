#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {

namespace {

Status CheckIds(const std::vector<int32_t>& ids, int64_t vocab_size, std::string_view where) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "token {} of the {} is {}, but the model's vocabulary has {} tokens", i, where,
                ids[i], vocab_size);
  }
  return {};
}

Status CheckRequest(const GenerateRequest& request, const SequenceLimits& limits,
                    const Tokenizer* tokenizer) {
  const int64_t length = static_cast<int64_t>(request.prompt.size());
  if (length == 0) return Fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (limits.position == 0 && length > limits.max_position) {
    return Fail(ErrorCode::kInvalidArgument,
                "the prompt has {} tokens, but the model's context ends at {}", length,
                limits.max_position);
  }
  if (limits.position + length > limits.max_position) {
    return Fail(ErrorCode::kInvalidArgument,
                "the prompt's {} tokens after the {} already read make {}, but the model's context "
                "ends at {}",
                length, limits.position, limits.position + length, limits.max_position);
  }
  FULMEN_TRY(CheckIds(request.prompt, limits.vocab_size, "prompt"));
  FULMEN_TRY(CheckIds(request.history, limits.vocab_size, "history"));
  if (request.max_tokens < 1) {
    return Fail(ErrorCode::kInvalidArgument, "max_tokens must be at least 1, not {}",
                request.max_tokens);
  }
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty()) return Fail(ErrorCode::kInvalidArgument, "a stop string is empty");
  }
  if (!request.stop_strings.empty() && tokenizer == nullptr) {
    return Fail(ErrorCode::kInvalidArgument,
                "stop strings need a tokenizer, and the model has none");
  }
  return {};
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Result<Sequence> Sequence::Create(GenerateRequest request, const SequenceLimits& limits,
                                  const Tokenizer* tokenizer) {
  FULMEN_TRY(CheckRequest(request, limits, tokenizer));
  FULMEN_ASSIGN(Sampler sampler,
                Sampler::Create(request.sampling, limits.vocab_size, limits.forbidden));
  return Sequence(std::move(request), limits, tokenizer, std::move(sampler));
}

Sequence::Sequence(GenerateRequest request, const SequenceLimits& limits,
                   const Tokenizer* tokenizer, Sampler sampler)
    : request_(std::move(request)),
      room_(limits.max_position - limits.position),
      sampler_(std::move(sampler)),
      stop_(request_.stop_strings) {
  if (tokenizer != nullptr) decoder_.emplace(*tokenizer);
  sampler_.AddHistory(request_.history);
  sampler_.AddHistory(request_.prompt);
}

Sequence::Work Sequence::Schedule(int64_t chunk) const {
  FULMEN_CHECK(!finished() && chunk >= 1, "a finished sequence, or a chunk of {}", chunk);
  const std::span<const int32_t> prompt = request_.prompt;
  if (read_ >= prompt_size()) return {std::span(&ids_.back(), 1), true};
  const int64_t count = std::min(chunk, prompt_size() - read_);
  return {prompt.subspan(static_cast<size_t>(read_), static_cast<size_t>(count)),
          read_ + count == prompt_size()};
}

std::string Sequence::Postprocess(const Work& work, std::span<float> logits) {
  read_ += static_cast<int64_t>(work.tokens.size());
  return work.wants_logits ? TakeToken(sampler_.Sample(logits)) : "";
}

std::string Sequence::TakeToken(int32_t token) {
  const auto& stops = request_.stop_tokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
    return Finish(FinishReason::kStop);
  }
  ids_.push_back(token);
  std::string text;
  if (decoder_) text = stop_.Add(decoder_->Add(token));
  text_ += text;
  if (stop_.stopped()) return text + Finish(FinishReason::kStop);
  if (static_cast<int64_t>(ids_.size()) == request_.max_tokens) {
    return text + Finish(FinishReason::kLength);
  }
  if (read_ == room_) return text + Finish(FinishReason::kContext);
  return text;
}

std::string Sequence::Finish(FinishReason reason) {
  std::string text;
  if (decoder_) text = stop_.Add(decoder_->Flush());
  text += stop_.Flush();
  text_ += text;
  finish_reason_ = stop_.stopped() ? FinishReason::kStop : reason;
  return text;
}

std::vector<int32_t> Sequence::Unread() const {
  std::vector<int32_t> all = request_.prompt;
  all.insert(all.end(), ids_.begin(), ids_.end());
  all.erase(all.begin(), all.begin() + read_);
  return all;
}

}  // namespace fulmen
