#include "serve/grammar_cache.h"

#include <algorithm>

namespace fulmen {
namespace {

constexpr size_t kMostKept = 64;

}  // namespace

std::optional<AnswerGrammar> GrammarCache::Find(const AnswerRules& rules, AnswerFormat format) {
  const std::string digest = rules.Digest(format);
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find(recent_, digest, [](const auto& entry) { return entry.first; });
  if (found == recent_.end()) return std::nullopt;
  std::rotate(recent_.begin(), found, found + 1);
  return recent_.front().second;
}

ApiResult<AnswerGrammar> GrammarCache::Make(const AnswerRules& rules, AnswerFormat format) {
  // Another one may have made it while this one waited for its turn.
  if (auto found = Find(rules, format)) return *std::move(found);
  auto made = MakeAnswerGrammar(rules, format);
  if (!made) {
    const Error& error = made.error().error;
    return ApiFail(
        error.code == ErrorCode::kUnsupported ? ApiErrorKind::kUnsupported : ApiErrorKind::kInvalid,
        made.error().where, "the answer cannot be held to this: {}", error.message);
  }
  const std::lock_guard lock(mutex_);
  recent_.emplace_front(rules.Digest(format), *made);
  if (recent_.size() > kMostKept) recent_.pop_back();
  return *std::move(made);
}

}  // namespace fulmen
