#include "engine/constraint.h"

#include <algorithm>
#include <bit>

#include "engine/answer_markers.h"

namespace fulmen {
namespace {

constexpr size_t kMostForced = 256;  // bytes at a time
constexpr size_t kLongestTail = 4096;

void Set(std::vector<uint64_t>& mask, int32_t id, bool value) {
  const auto index = static_cast<size_t>(id);
  const uint64_t bit = uint64_t{1} << (index % 64);
  mask[index / 64] = value ? mask[index / 64] | bit : mask[index / 64] & ~bit;
}

}  // namespace

Constraint::Constraint(const Matcher& matcher, const Tokenizer& tokenizer, CallFormat calls)
    : matcher_(matcher), tokenizer_(&tokenizer) {
  const std::string_view text = OpeningMarker(calls);
  const auto id = tokenizer.TokenId(text);
  if (!text.empty() && id && tokenizer.IsSpecial(*id)) marker_ = {*id, text};
}

Result<std::span<const uint64_t>> Constraint::Mask(int64_t vocab_size,
                                                   std::span<const int32_t> forbidden,
                                                   std::span<const int32_t> stops, bool late) {
  FULMEN_ASSIGN(const auto found, matcher_.Mask());
  const auto words = static_cast<size_t>((vocab_size + 63) / 64);
  mask_.assign(found.begin(),
               found.begin() + static_cast<ptrdiff_t>(std::min(words, found.size())));
  mask_.resize(words);
  // A vocabulary may have fewer tokens than its tokenizer knows.
  if (vocab_size % 64 != 0) mask_.back() &= (uint64_t{1} << (vocab_size % 64)) - 1;
  if (marker_ && marker_->id < vocab_size) {
    Matcher after = matcher_;
    Set(mask_, marker_->id, after.AcceptText(marker_->text).has_value());
  }
  for (const int32_t id : forbidden) Set(mask_, id, false);
  for (const int32_t id : stops) Set(mask_, id, false);
  const bool any = std::ranges::any_of(mask_, [](uint64_t word) { return word != 0; });
  if (CanEnd() && !(late && any)) {
    for (const int32_t id : stops) Set(mask_, id, true);
  } else if (!any && !CanEnd()) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "the answer cannot go on: its grammar needs a token that the model does not use, or "
        "that is a stop token");
  }
  return mask_;
}

Status Constraint::Accept(int32_t token) {
  if (marker_ && token == marker_->id) {
    FULMEN_TRY(matcher_.AcceptText(marker_->text));
    tail_.clear();
    tail_ids_.clear();
    known_ = true;
    return {};
  }
  FULMEN_TRY(matcher_.Accept(token));
  if (!known_) return {};
  tail_ += tokenizer_->TokenBytes(token).value_or("");
  tail_ids_.push_back(token);
  ForgetSettled();
  if (tail_.size() > kLongestTail) {
    tail_.clear();
    tail_ids_.clear();
    known_ = false;
  }
  return {};
}

void Constraint::ForgetSettled() {
  // Of the places where the text is split, one between two of its tokens.
  const size_t settled = tokenizer_->SettledBytes(tail_);
  size_t bytes = 0;
  size_t count = 0;
  while (bytes < settled) bytes += tokenizer_->TokenBytes(tail_ids_[count++]).value_or("").size();
  if (bytes != settled) return;
  tail_.erase(0, bytes);
  tail_ids_.erase(tail_ids_.begin(), tail_ids_.begin() + static_cast<ptrdiff_t>(count));
}

std::vector<int32_t> Constraint::Forced() const {
  if (!known_) return {};
  Matcher after = matcher_;
  std::string text = after.Forced(kMostForced);
  if (text.empty()) return {};
  // Behind the marker and the answer's end nothing that the text's split could depend on follows.
  bool settled = false;
  if (marker_) {
    const size_t at = text.find(marker_->text);
    if (at == 0) return {marker_->id};
    settled = at != std::string::npos;
    if (settled) text.resize(at);
  }
  settled = settled || (after.AcceptText(text) && after.MustEnd());
  const std::string whole = tail_ + text;
  const size_t bytes = settled ? whole.size() : tokenizer_->SettledBytes(whole);
  if (bytes <= tail_.size()) return {};
  std::vector<int32_t> ids = tokenizer_->Encode(std::string_view(whole).substr(0, bytes),
                                                Tokenizer::Markers::kPlain, /*continues=*/true);
  // Where the answer so far is not as the tokenizer writes it, it does not say how to go on.
  const bool agree =
      ids.size() > tail_ids_.size() && std::equal(tail_ids_.begin(), tail_ids_.end(), ids.begin());
  if (!agree) return {};
  ids.erase(ids.begin(), ids.begin() + std::ssize(tail_ids_));
  return ids;
}

}  // namespace fulmen
