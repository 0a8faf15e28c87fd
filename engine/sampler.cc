#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/check.h"

namespace fulmen {

namespace {

Status CheckRange(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} must be between {} and {}, not {}", name, low, high,
              value);
}

float ClampToFloat(double value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -kLargest, kLargest));
}

// Makes the logits that the mask lacks -infinity.
void KeepMasked(std::span<const uint64_t> mask, std::span<float> logits) {
  constexpr size_t kBits = 64;
  for (size_t word = 0; word < mask.size(); ++word) {
    if (mask[word] == ~uint64_t{0}) continue;
    const size_t begin = word * kBits;
    const size_t end = std::min(begin + kBits, logits.size());
    for (size_t id = begin; id < end; ++id) {
      const bool kept = (mask[word] >> (id - begin) & 1) != 0;
      logits[id] = kept ? logits[id] : -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace

Status SamplingParams::Validate(int64_t vocab_size) const {
  if (!std::isfinite(temperature) || temperature < 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "temperature must be a finite number of at least 0 (0 is greedy), not {}",
                temperature);
  }
  if (top_k < 0) {
    return Fail(ErrorCode::kInvalidArgument, "top_k must be at least 0 (0 is off), not {}", top_k);
  }
  FULMEN_TRY(CheckRange("top_p", top_p, 0, 1));
  FULMEN_TRY(CheckRange("min_p", min_p, 0, 1));
  if (!std::isfinite(repetition_penalty) || repetition_penalty <= 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "repetition_penalty must be a finite number above 0 (1 is off), not {}",
                repetition_penalty);
  }
  FULMEN_TRY(CheckRange("presence_penalty", presence_penalty, -2, 2));
  FULMEN_TRY(CheckRange("frequency_penalty", frequency_penalty, -2, 2));
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return Fail(ErrorCode::kInvalidArgument,
                  "logit_bias names token {}, but the vocabulary has {} tokens", id, vocab_size);
    }
    FULMEN_TRY(CheckRange("logit_bias", bias, -100, 100));
  }
  return {};
}

Result<Sampler> Sampler::Create(const SamplingParams& params, int64_t vocab_size,
                                std::span<const int32_t> forbidden) {
  FULMEN_TRY(params.Validate(vocab_size));
  const std::set<int32_t> distinct(forbidden.begin(), forbidden.end());
  FULMEN_CHECK(distinct.empty() || (*distinct.begin() >= 0 && *distinct.rbegin() < vocab_size),
               "forbidden ids must lie in the vocabulary");
  if (static_cast<int64_t>(distinct.size()) >= vocab_size) {
    return Fail(ErrorCode::kInvalidArgument,
                "none of the vocabulary's {} tokens may be generated: the model does not use any",
                vocab_size);
  }
  return Sampler(params, vocab_size, forbidden);
}

void Sampler::AddHistory(std::span<const int32_t> ids) {
  if (params_.repetition_penalty == 1) return;
  for (const int32_t id : ids) counts_.try_emplace(id, 0);
}

int32_t Sampler::Sample(std::span<float> logits, std::span<const uint64_t> mask) {
  FULMEN_CHECK(static_cast<int64_t>(logits.size()) == vocab_size_,
               "{} logits for a vocabulary of {}", logits.size(), vocab_size_);
  AdjustLogits(logits, mask);
  const int32_t token =
      params_.temperature == 0
          ? static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())
          : Draw(logits);
  Remember(token);
  return token;
}

void Sampler::AdjustLogits(std::span<float> logits, std::span<const uint64_t> mask) const {
  for (const auto& [id, bias] : params_.logit_bias) {
    logits[static_cast<size_t>(id)] = ClampToFloat(logits[static_cast<size_t>(id)] + bias);
  }
  const double repetition = params_.repetition_penalty;
  if (repetition != 1 || params_.presence_penalty != 0 || params_.frequency_penalty != 0) {
    for (const auto& [id, count] : counts_) {
      double logit = logits[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / repetition : logit * repetition;
      logit -= static_cast<double>(count) * params_.frequency_penalty;
      if (count > 0) logit -= params_.presence_penalty;
      logits[static_cast<size_t>(id)] = ClampToFloat(logit);
    }
  }
  // Nothing above can lift a token over this, so it may as well come last.
  for (const int32_t id : forbidden_) {
    logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
  }
  KeepMasked(mask, logits);
}

bool Sampler::MoreProbable(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

int32_t Sampler::Draw(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) continue;
    candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
  }
  if (params_.top_k > 0) KeepTopK();
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((candidate.logit - largest) / params_.temperature);
  }
  if (params_.top_p < 1) KeepTopP();
  // The most probable token has weight 1.
  if (params_.min_p > 0) {
    std::erase_if(candidates_,
                  [this](const Candidate& each) { return each.weight < params_.min_p; });
  }

  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double target = random_.Uniform() * total;
  double cumulative = 0;
  int32_t last = candidates_.front().id;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight > 0) last = candidate.id;
    cumulative += candidate.weight;
    if (target < cumulative) return candidate.id;
  }
  return last;  // the product above was rounded up to the total
}

void Sampler::KeepTopK() {
  const size_t k = static_cast<size_t>(params_.top_k);
  if (k >= candidates_.size()) return;
  ranked_ = candidates_;
  const auto last = ranked_.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(ranked_.begin(), last, ranked_.end(), MoreProbable);
  KeepUpTo(*last);
}

void Sampler::KeepTopP() {
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  // Tokens below this weight have less than half of 1 - p in all, so the others exceed p and the
  // answer lies among them. It spares most of a large vocabulary the ranking.
  const double negligible =
      0.5 * (1 - params_.top_p) * total / static_cast<double>(candidates_.size());
  ranked_.clear();
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight >= negligible) ranked_.push_back(candidate);
  }
  // Halves the part that holds the last token to keep until it is short enough to sort: linear in
  // all, where sorting everything takes long when the distribution is flat.
  constexpr std::ptrdiff_t kShort = 64;
  const double enough = params_.top_p * total;
  double before = 0;  // weight of the tokens ranked before `begin`
  auto begin = ranked_.begin();
  auto end = ranked_.end();
  while (end - begin > kShort) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, MoreProbable);
    double weight = before;
    for (auto each = begin; each != middle; ++each) weight += each->weight;
    if (weight >= enough) {
      end = middle;
    } else {
      before = weight;
      begin = middle;
    }
  }
  std::sort(begin, end, MoreProbable);
  auto last = begin;
  for (; last != end - 1; ++last) {
    before += last->weight;
    if (before >= enough) break;
  }
  KeepUpTo(*last);
}

void Sampler::KeepUpTo(const Candidate& last) {
  std::erase_if(candidates_,
                [&last](const Candidate& candidate) { return MoreProbable(last, candidate); });
}

}  // namespace fulmen
