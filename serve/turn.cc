#include "serve/turn.h"

#include <utility>

#include "base/clock.h"
#include "serve/api_call.h"
#include "serve/prompts.h"

namespace fulmen {

RecallAnswer RecallFrom(SessionStore* store, const ServedModel& model, std::string space) {
  return [store, &model, space = std::move(space)](
             std::string_view handle) -> std::optional<std::vector<int32_t>> {
    if (store == nullptr) return std::nullopt;
    auto found = store->Recall(space, model.identity(), handle);
    // A store that fails costs reuse, not the answer.
    return found ? *std::move(found) : std::nullopt;
  };
}

ApiResult<Turn> Turn::Make(ServedModel& model, Generation generation, SessionStore* store,
                           std::string space) {
  Turn turn(model, store, std::move(space));
  Prompt prompt;
  if (generation.session.empty()) {
    FULMEN_API_ASSIGN(prompt, MakePrompt(model, generation, RecallFrom(store, model, turn.space_)));
  } else {
    const auto* chat = std::get_if<ChatPrompt>(&generation.prompt);
    if (store == nullptr || chat == nullptr || generation.choices != 1) {
      return ApiFail(ApiErrorKind::kUnsupported, "session",
                     "a session takes chats with one answer, on a server that keeps sessions");
    }
    FULMEN_API_ASSIGN(turn.session_,
                      SessionTurn::Begin(*store, model, turn.space_, generation.session, *chat));
    prompt = turn.session_->TakePrompt();
  }
  turn.prompt_ = prompt.ids;
  FULMEN_API_ASSIGN(turn.request_, MakeRequest(model, generation, std::move(prompt)));
  if (generation.rules.any()) {
    model.engine().PrepareForGrammars();
    turn.rules_ = std::move(generation.rules);
    if (auto found = model.grammars().Find(*turn.rules_, turn.request_.format)) {
      turn.Take(*std::move(found));
    }
  }
  turn.request_.space = turn.request_.key = turn.space_;
  turn.tells_tokens_ = generation.top_logprobs.has_value();
  for (int64_t i = 0; i < generation.choices; ++i) turn.handles_.push_back(RandomId("turn_"));
  return turn;
}

ApiResult<void> Turn::Constrain() {
  FULMEN_API_ASSIGN(AnswerGrammar made, model_->grammars().Make(*rules_, request_.format));
  Take(std::move(made));
  return {};
}

void Turn::Take(AnswerGrammar made) {
  request_.grammar = std::move(made.grammar);
  left_out_ = std::move(made.left_out);
  rules_.reset();
}

AnswerStart Turn::Start() {
  created_ = SecondsNow();
  return {.model = model_->name(),
          .tokenizer = model_->tokenizer(),
          .prompt = std::move(prompt_),
          .handles = handles_,
          .created = created_};
}

void Turn::Add(const AnswerDelta& delta) {
  if (session_) session_->Add(delta.piece);
}

ApiResult<void> Turn::Keep(const AnswerFinished& finished, const Json& info) {
  if (store_ == nullptr) return {};
  if (session_) FULMEN_API_TRY(session_->Keep(finished, info));
  if (finished.ids.empty()) return {};
  const std::string& handle = handles_[static_cast<size_t>(finished.choice)];
  // Without it the next turn reads more anew; that is no reason to withhold this one.
  (void)store_->Remember(space_, model_->identity(), finished.ids, handle);
  return {};
}

}  // namespace fulmen
