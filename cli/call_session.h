// A conversation with a server, as `fulmen call` holds it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "call/caller.h"
#include "cli/answer_schema.h"
#include "cli/call_price.h"
#include "cli/call_state.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/tool_program.h"

namespace fulmen {

struct CallSessionOptions {
  CallTarget target = {};
  CallRetries retries = {};
  std::string model = {};  // "" for the first that the server lists
  std::string system = {};
  Json messages = Json::array();  // said before
  Json tools = nullptr;
  std::string tool_program = {};
  bool ask = true;  // before a tool is run
  std::optional<AnswerSchema> schema = {};
  std::optional<int64_t> max_tokens = {};
  Json fields = Json::object();
  std::optional<CallPrice> price = {};
  bool stream = true;
  bool json = false;
  bool quiet = false;
};

// Answers go to standard output as they come, reasoning and what they took to standard error. Not
// thread safe. The guard must outlive it.
class CallSession {
 public:
  CallSession(CallSessionOptions options, const InterruptGuard& interrupt);

  // One message and its answer, with all tool calls between them, which is then kept for `-c`.
  // After an error of kFailed, kKey or kLimit the message counts as not said. The reply is that of
  // the last answer.
  CallResult<Reply> Say(const std::string& text, const std::vector<std::string>& images);
  // Begins anew; the system text stays.
  void Reset() { request_.messages = Json::array(); }
  // What Say would send first.
  Json Shown(const std::string& text, const std::vector<std::string>& images);
  // Whether the answer's text keeps to the schema, where there is one.
  Status CheckSchema(const Reply& reply) const;

 private:
  CallResult<Reply> AnswerAll();
  CallResult<Reply> AnswerOnce();
  void Wait();  // shows that it waits, until the first piece
  Status ShowPiece(bool reasoning, std::string_view text);
  Status EndAnswer(const Reply& reply);
  void ShowReasoning(std::string_view text);
  void TellUsage(const Reply& reply) const;
  void Keep() const;

  const CallSessionOptions options_;
  const InterruptGuard& interrupt_;
  const bool terminal_;
  const bool talks_on_terminal_;
  const bool dim_;
  CallRequest request_;
  ToolProgram tools_;
  ApiCaller caller_;
  std::unique_ptr<Progress> progress_;
  bool thinking_ = false;
};

}  // namespace fulmen
