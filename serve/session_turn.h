// One turn of a named session: its prompt goes on from the tokens that the session ended with, and
// its answer is kept before anybody hears its end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/conversation.h"
#include "engine/request.h"
#include "engine/session_store.h"
#include "serve/api_error.h"
#include "serve/generation.h"
#include "serve/prompts.h"
#include "serve/served_model.h"

namespace fulmen {

// Begin and Keep use the disk: not for the I/O thread. Not thread safe.
class SessionTurn {
 public:
  // The messages of `chat` follow those of the session, which is begun where there is none of this
  // name; system messages at their front are its system text, which never changes.
  static ApiResult<std::unique_ptr<SessionTurn>> Begin(SessionStore& store,
                                                       const ServedModel& model, std::string space,
                                                       const std::string& name,
                                                       const ChatPrompt& chat);

  Prompt TakePrompt() { return std::move(prompt_); }
  void Add(const AnswerPiece& piece);
  // With `info`, what is told of the answer (SavedTurn). Durable once it has returned. What was
  // cancelled before it said anything is not kept. kConflict: another turn was kept since this one
  // began.
  ApiResult<void> Keep(const AnswerFinished& finished, const Json& info);

 private:
  SessionTurn(SessionStore& store, SavedSession session, bool is_new, Conversation conversation)
      : store_(store),
        session_(std::move(session)),
        is_new_(is_new),
        conversation_(std::move(conversation)) {}

  SessionStore& store_;
  SavedSession session_;
  bool is_new_;
  Conversation conversation_;
  Prompt prompt_;
  GenerateResult answer_;
};

}  // namespace fulmen
