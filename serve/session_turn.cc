#include "serve/session_turn.h"

#include <utility>

#include "base/clock.h"
#include "base/printable.h"

namespace fulmen {
namespace {

// The system text at the front of the messages, and what follows it.
struct Split {
  std::string system;
  Json rest = Json::array();
};
Split SplitSystem(const Json& messages) {
  Split split;
  size_t i = 0;
  for (; i < messages.size() && Member(messages[i], "role") == "system"; ++i) {
    if (!split.system.empty()) split.system += "\n\n";
    split.system += ContentText(Member(messages[i], "content"));
  }
  for (; i < messages.size(); ++i) split.rest.push_back(messages[i]);
  return split;
}

ApiResult<void> CheckAgrees(const SavedSession& session, const ServedModel& model,
                            const std::string& system) {
  const std::string name = Printable(session.name);
  if (session.model != model.identity()) {
    return ApiFail(ApiErrorKind::kConflict, "session",
                   "session \"{}\" was held with another model than {}", name, model.name());
  }
  if (session.format != model.format()) {
    return ApiFail(ApiErrorKind::kConflict, "session",
                   "session \"{}\" was held in another chat format than that of {}", name,
                   model.name());
  }
  if (!system.empty() && session.system != system) {
    return ApiFail(ApiErrorKind::kConflict, "session",
                   "session \"{}\" began with another system text, which cannot change", name);
  }
  return {};
}

}  // namespace

ApiResult<std::unique_ptr<SessionTurn>> SessionTurn::Begin(SessionStore& store,
                                                           const ServedModel& model,
                                                           std::string space,
                                                           const std::string& name,
                                                           const ChatPrompt& chat) {
  if (!model.format()) {
    return ApiFail(ApiErrorKind::kUnsupported, "session",
                   "{} has no chat format, so it holds no sessions", model.name());
  }
  if (chat.continue_final) {
    return ApiFail(ApiErrorKind::kUnsupported, "session",
                   "a session goes on with a whole turn, not within an assistant's message");
  }
  if (const Status good = CheckSessionName(name); !good) {
    return tl::unexpected(ToApiError(good.error(), "session"));
  }
  FULMEN_API_TRY(CheckImages(model, chat.messages));
  const Split split = SplitSystem(chat.messages);
  if (ImageParts(chat.messages).size() != ImageParts(split.rest).size()) {
    return ApiFail(ApiErrorKind::kUnsupported, "messages",
                   "the system text of a session holds no images");
  }
  auto found = store.Find(space, name);
  if (!found) return tl::unexpected(ToApiError(found.error(), "session"));
  const bool is_new = !*found;
  SavedSession session;
  if (is_new) {
    session.space = std::move(space);
    session.name = name;
    session.model = model.identity();
    session.format = model.format();
    session.system = split.system;
  } else {
    session = **std::move(found);
    FULMEN_API_TRY(CheckAgrees(session, model, split.system));
  }
  auto conversation = Conversation::Resume(model.tokenizer(), session, model.images());
  if (!conversation) return tl::unexpected(ToApiError(conversation.error(), "session"));
  std::unique_ptr<SessionTurn> turn(
      new SessionTurn(store, session, is_new, *std::move(conversation)));
  auto request = turn->conversation_.Add(split.rest, chat.tools);
  if (!request) return tl::unexpected(ToApiError(request.error()));
  turn->prompt_ = {.ids = std::move(request->prompt),
                   .images = std::move(request->images),
                   .format = request->format};
  return turn;
}

void SessionTurn::Add(const AnswerPiece& piece) {
  if (piece.kind == AnswerPiece::Kind::kReasoning) answer_.reasoning += piece.text;
  if (piece.kind == AnswerPiece::Kind::kText) answer_.text += piece.text;
}

ApiResult<void> SessionTurn::Keep(const AnswerFinished& finished, const Json& info) {
  const bool is_silent = answer_.text.empty() && answer_.reasoning.empty();
  if (finished.reason == FinishReason::kCancelled && is_silent) return {};
  answer_.ids = finished.ids;
  answer_.at_stop_string = finished.stop_string.has_value();
  SavedTurn turn = conversation_.AddAnswer(answer_);
  turn.info = info;
  const int64_t now = SecondsNow();
  Status kept;
  if (is_new_) {
    session_.created = session_.used = now;
    session_.turns.push_back(turn);
    kept = store_.Create(session_);
  } else {
    const auto address =
        store_.AppendTurn(session_.space, session_.name, std::ssize(session_.turns), turn, now);
    if (!address) kept = tl::unexpected<Error>(address.error());
  }
  if (!kept) return tl::unexpected(ToApiError(kept.error(), "session"));
  return {};
}

}  // namespace fulmen
