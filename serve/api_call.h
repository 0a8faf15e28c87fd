// One request of one API, from its body to what its client reads. No I/O happens here, so the APIs
// are tested without a socket.
//
// Parsing a body makes an ApiCall: the generations it asks for, and a writer that turns their
// events into the API's words. Both ends see only this interface.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/request.h"
#include "serve/api_error.h"
#include "serve/generation.h"

namespace fulmen {

class ApiCall {
 public:
  virtual ~ApiCall() = default;

  ApiStyle style() const { return style_; }
  const std::string& id() const { return id_; }  // of the answer, e.g. "chatcmpl-..."
  bool streams() const { return streams_; }
  // At least one; most APIs have just one. Moved out of here when they are submitted.
  std::vector<Generation>& generations() { return generations_; }

  // What it has cost, before its last event: told with its usage.
  void SetCost(std::string amount, std::string currency) {
    cost_ = std::move(amount);
    currency_ = std::move(currency);
  }

  // Adds the cost to an API's `usage`, where somebody pays. A string: a number of JavaScript would
  // round it.
  Json WithCost(Json usage) const {
    if (cost_.empty()) return usage;
    usage["cost"] = cost_;
    usage["currency"] = currency_;
    return usage;
  }

  // What follows appends to `out` what is to be sent now, where the call streams.

  // Once, before all events: one of each generation.
  virtual void Begin(std::vector<AnswerStart> starts, std::string& out) = 0;
  // Events of one generation come in the engine's order, those of several in any. The last one of
  // each is RequestDone, whose status is no error: errors come through Fail.
  virtual void On(size_t generation, const Event& event, std::string& out) = 0;
  // Something went wrong after the headers had left; nothing follows. Not for calls that do not
  // stream: those are answered with ErrorBody.
  virtual void Fail(const ApiError& error, std::string& out) = 0;

  // The whole answer, once all generations are done. Also kept by calls that stream, where the API
  // stores answers.
  virtual Json Answer() const = 0;

 protected:
  ApiCall(ApiStyle style, std::string id, bool streams, std::vector<Generation> generations)
      : style_(style),
        id_(std::move(id)),
        streams_(streams),
        generations_(std::move(generations)) {}

 private:
  ApiStyle style_;
  std::string id_;
  bool streams_;
  std::vector<Generation> generations_;
  std::string cost_;
  std::string currency_;
};

// `prefix` and 22 random letters and digits: with "turn_" the handle of a turn (turn_ids.h).
std::string RandomId(std::string_view prefix);

}  // namespace fulmen
