#include "engine/sequence.h"

#include <algorithm>
#include <limits>
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

Status CheckImages(const Request& request, const SequenceLimits& limits) {
  if (!request.images.empty() && !limits.image_token) {
    return Fail(ErrorCode::kInvalidArgument, "the model reads no images");
  }
  int64_t read = 0;
  for (const PromptImage& image : request.images) {
    const auto length = std::ssize(request.prompt);
    bool placed = image.first >= read && image.end() <= length;
    for (int64_t i = image.first; placed && i < image.end(); ++i) {
      placed = request.prompt[static_cast<size_t>(i)] == *limits.image_token;
    }
    if (!placed) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "an image of {} tokens stands at {} of the prompt, where not as many image tokens "
          "are",
          image.end() - image.first, image.first);
    }
    read = image.end();
  }
  return {};
}

Status CheckRequest(const Request& request, const SequenceLimits& limits,
                    const Tokenizer* tokenizer) {
  const int64_t length = std::ssize(request.prompt);
  if (length == 0) return Fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (length > limits.max_position) {
    return Fail(ErrorCode::kInvalidArgument,
                "the prompt has {} tokens, but the model's context ends at {}", length,
                limits.max_position);
  }
  FULMEN_TRY(CheckIds(request.prompt, limits.vocab_size, "prompt"));
  FULMEN_TRY(CheckImages(request, limits));
  if (request.max_tokens < 0) {
    return Fail(ErrorCode::kInvalidArgument, "max_tokens must be at least 0, not {}",
                request.max_tokens);
  }
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens) {
    return Fail(ErrorCode::kInvalidArgument, "min_tokens must be from 0 to max_tokens, {}, not {}",
                request.max_tokens, request.min_tokens);
  }
  FULMEN_TRY(CheckIds(request.stop_tokens, limits.vocab_size, "stop tokens"));
  FULMEN_TRY(CheckIds(request.script, limits.vocab_size, "script"));
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty()) return Fail(ErrorCode::kInvalidArgument, "a stop string is empty");
  }
  if (!request.stop_strings.empty() && tokenizer == nullptr) {
    return Fail(ErrorCode::kInvalidArgument,
                "stop strings need a tokenizer, and the model has none");
  }
  if (request.grammar != nullptr && tokenizer == nullptr) {
    return Fail(ErrorCode::kInvalidArgument, "a grammar needs a tokenizer, and the model has none");
  }
  return {};
}

void Append(std::vector<AnswerPiece>& pieces, std::vector<AnswerPiece> more) {
  pieces.insert(pieces.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kAllowance:
      return "allowance";
    case FinishReason::kError:
      return "error";
  }
  return "";
}

Result<Sequence> Sequence::Create(const Request& request, int64_t choice,
                                  const SequenceLimits& limits, const Tokenizer* tokenizer) {
  FULMEN_TRY(CheckRequest(request, limits, tokenizer));
  SamplingParams sampling = request.sampling;
  sampling.seed += static_cast<uint64_t>(choice);
  FULMEN_ASSIGN(Sampler sampler, Sampler::Create(sampling, limits.vocab_size, limits.forbidden));
  return Sequence(request, limits, tokenizer, std::move(sampler));
}

Sequence::Sequence(const Request& request, const SequenceLimits& limits, const Tokenizer* tokenizer,
                   Sampler sampler)
    : tokenizer_(tokenizer),
      vocab_size_(limits.vocab_size),
      forbidden_(limits.forbidden),
      calls_(request.format.calls),
      max_tokens_(request.max_tokens),
      min_tokens_(request.min_tokens),
      top_logprobs_(request.top_logprobs),
      max_position_(limits.max_position),
      stop_tokens_(request.stop_tokens),
      script_(request.script),
      prompt_size_(std::ssize(request.prompt)),
      sampler_(std::move(sampler)),
      parser_(request.format),
      stop_(request.stop_strings) {
  if (tokenizer != nullptr) decoder_.emplace(*tokenizer);
  tokens_.reserve(request.prompt.size());
  keys_.reserve(request.prompt.size());
  for (const int32_t token : request.prompt) Append(token);
  for (const PromptImage& image : request.images) {
    for (int64_t i = image.first; i < image.end(); ++i) {
      keys_[static_cast<size_t>(i)] = ImageKey(*image.image, i - image.first);
    }
  }
  sampler_.AddHistory(request.prompt);
}

void Sequence::Append(int32_t token) {
  tokens_.push_back(token);
  keys_.push_back(static_cast<PrefixKey>(token));
}

void Sequence::SetPosition(int64_t position) {
  FULMEN_CHECK(position >= 0 && position < std::ssize(tokens_), "position {} of {} tokens",
               position, tokens_.size());
  position_ = position;
}

void Sequence::Read(int64_t count) {
  FULMEN_CHECK(!finished() && count >= 1 && count <= unread(),
               "{} tokens were read of {}, or after the end", count, unread());
  position_ += count;
}

void Sequence::Constrain(const Matcher& matcher) {
  constraint_.emplace(matcher, *tokenizer_, calls_);
  must_end_ = constraint_->MustEnd();
  ForceNext();
}

Status Sequence::PrepareToSample() {
  mask_ = {};
  if (!constraint_ || must_end_ || !forced_.empty()) return {};
  FULMEN_ASSIGN(mask_, constraint_->Mask(vocab_size_, forbidden_, stop_tokens_,
                                         /*late=*/generated() < min_tokens_));
  must_end_ = std::ranges::all_of(mask_, [](uint64_t word) { return word == 0; });
  return {};
}

Sequence::Sampled Sequence::Sample(std::span<float> logits) {
  if (must_end_) return {.id = kEnd, .logprobs = {}};
  std::vector<float> untouched;
  if (top_logprobs_) untouched.assign(logits.begin(), logits.end());
  if (!constraint_ && generated() < min_tokens_) {
    for (const int32_t token : stop_tokens_) {
      logits[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
  }
  Sampled sampled;
  if (forced_.empty()) {
    sampled.id = sampler_.Sample(logits, mask_);
  } else {
    sampled.id = forced_.front();
    sampler_.Remember(sampled.id);
  }
  if (generated() < std::ssize(script_)) sampled.id = script_[static_cast<size_t>(generated())];
  if (top_logprobs_) sampled.logprobs = LogprobsOf(untouched, sampled.id, *top_logprobs_);
  return sampled;
}

std::optional<int32_t> Sequence::NextForced() const {
  // Who wants probabilities wants the model's own of these, too.
  if (finished() || top_logprobs_ || forced_.empty()) return std::nullopt;
  return forced_.front();
}

std::vector<AnswerPiece> Sequence::Take(int32_t token) {
  FULMEN_CHECK(!finished() && (unread() == 0 || token == NextForced()),
               "a token after {} unread ones, or after the end", unread());
  if (max_tokens_ == 0) return Finish(FinishReason::kLength);
  if (token == kEnd) return Finish(FinishReason::kStop);
  if (std::ranges::find(stop_tokens_, token) != stop_tokens_.end()) {
    if (!constraint_ || constraint_->CanEnd()) return Finish(FinishReason::kStop);
    return FailWith(
        fulmen::Fail(ErrorCode::kInvalidArgument, "the answer cannot end here by its grammar"));
  }
  if (constraint_) {
    if (const Status accepted = constraint_->Accept(token); !accepted) return FailWith(accepted);
  }
  if (unread() > 0) sampler_.Remember(token);
  Append(token);
  std::vector<AnswerPiece> pieces = AddText(token);
  if (constraint_) FollowGrammar();
  if (stop_.found() || must_end_) {
    fulmen::Append(pieces, Finish(FinishReason::kStop));
  } else if (generated() == max_tokens_) {
    fulmen::Append(pieces, Finish(FinishReason::kLength));
  } else if (std::ssize(tokens_) > max_position_) {
    fulmen::Append(pieces, Finish(FinishReason::kContext));
  }
  return pieces;
}

std::vector<AnswerPiece> Sequence::AddText(int32_t token) {
  if (!decoder_) return {};
  const bool before = parser_.in_reasoning();
  std::vector<AnswerPiece> pieces = StopAt(parser_.Add(decoder_->Add(token)));
  if (before || parser_.in_reasoning()) ++reasoning_tokens_;
  return pieces;
}

void Sequence::FollowGrammar() {
  must_end_ = constraint_->MustEnd();
  if (!forced_.empty()) forced_.pop_front();
  ForceNext();
}

void Sequence::ForceNext() {
  if (must_end_ || !forced_.empty() || generated() < std::ssize(script_)) return;
  // Up to one that would not be sampled; then the text is spelled otherwise.
  for (const int32_t id : constraint_->Forced()) {
    if (id >= vocab_size_ || std::ranges::find(forbidden_, id) != forbidden_.end() ||
        std::ranges::find(stop_tokens_, id) != stop_tokens_.end()) {
      break;
    }
    forced_.push_back(id);
  }
}

std::vector<AnswerPiece> Sequence::FailWith(Status status) {
  status_ = std::move(status);
  return Finish(FinishReason::kError);
}

std::vector<AnswerPiece> Sequence::Finish(FinishReason reason) {
  std::vector<AnswerPiece> pieces;
  if (decoder_) {
    pieces = parser_.Add(decoder_->Flush());
    fulmen::Append(pieces, parser_.Finish());
    pieces = StopAt(std::move(pieces));
  }
  const std::string rest = stop_.Flush();
  if (!rest.empty()) pieces.push_back({AnswerPiece::Kind::kText, rest});
  if (stop_.found()) reason = FinishReason::kStop;
  if (reason == FinishReason::kStop && parser_.calls() > 0) reason = FinishReason::kToolCalls;
  finish_reason_ = reason;
  return pieces;
}

std::vector<AnswerPiece> Sequence::StopAt(std::vector<AnswerPiece> pieces) {
  std::vector<AnswerPiece> kept;
  for (AnswerPiece& piece : pieces) {
    if (stop_.found()) break;
    if (piece.kind == AnswerPiece::Kind::kText) {
      piece.text = stop_.Add(piece.text);
      if (piece.text.empty()) continue;
    } else if (const std::string held = stop_.Flush(); !held.empty()) {
      // A stop string does not go on behind thoughts or a call.
      kept.push_back({AnswerPiece::Kind::kText, held});
    }
    kept.push_back(std::move(piece));
  }
  return kept;
}

}  // namespace fulmen
