// One generation of a call, from its prompt to what is kept of its answers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/session_store.h"
#include "serve/api_error.h"
#include "serve/generation.h"
#include "serve/served_model.h"
#include "serve/session_turn.h"

namespace fulmen {

class Turn {
 public:
  // Makes the prompt. `store` may be null: then nothing is kept, and no session can be continued.
  // Not for the I/O thread, as Keep.
  static ApiResult<Turn> Make(ServedModel& model, Generation generation, SessionStore* store,
                              std::string space);

  // Whether it waits for Constrain(): for its grammar, which takes up to seconds to make.
  bool needs_grammar() const { return rules_.has_value(); }
  ApiResult<void> Constrain();
  // What was left out of a schema.
  const std::vector<std::string>& left_out() const { return left_out_; }

  // Once: the prompt, which may be millions of tokens, goes with it.
  AnswerStart Start();
  int64_t created() const { return created_; }  // of its start, seconds since 1970
  const Request& request() const { return request_; }
  // What is asked of the engine; once.
  Request TakeRequest() { return std::move(request_); }
  bool tells_tokens() const { return tells_tokens_; }
  ServedModel& model() const { return *model_; }

  void Add(const AnswerDelta& delta);
  // Whether its answer is kept in a session.
  bool in_session() const { return session_ != nullptr; }
  // Keeps the tokens of an answer under its handle, and in its session with `info`, what is told of
  // it. Durable on return.
  ApiResult<void> Keep(const AnswerFinished& finished, const Json& info);

 private:
  Turn(ServedModel& model, SessionStore* store, std::string space)
      : model_(&model), store_(store), space_(std::move(space)) {}

  void Take(AnswerGrammar made);

  ServedModel* model_;
  SessionStore* store_;
  std::string space_;
  Request request_;
  std::optional<AnswerRules> rules_;  // without a grammar yet
  std::vector<std::string> left_out_;
  std::vector<int32_t> prompt_;
  std::vector<std::string> handles_;
  std::unique_ptr<SessionTurn> session_;
  bool tells_tokens_ = false;
  int64_t created_ = 0;
};

// The exact tokens of an answer of this namespace and model, as `store` has them.
RecallAnswer RecallFrom(SessionStore* store, const ServedModel& model, std::string space);

}  // namespace fulmen
