// Answers of a model, turn after turn, as `fulmen run` gives them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/interrupt.h"
#include "cli/session.h"
#include "cli/session_keeper.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

struct AnswerOptions {
  SamplingParams sampling;  // of the first turn; each next one has the next seed
  int64_t max_tokens = 0;
  std::vector<std::string> stops;
  bool ignore_eos = false;
  std::shared_ptr<const Grammar> grammar;  // that answers are held to; null: none
  bool several_turns = false;              // what was read is kept for the next one
  bool stream = true;    // writes an answer to standard output as it comes, then a newline; and
                         // thoughts to standard error where that is a terminal
  bool progress = true;  // shows how far reading a long prompt is
};

// One conversation, on an engine of its own. Session, tokenizer and guard must outlive it. Not
// thread safe.
class Responder {
 public:
  // Without a format the turns are one text, which the model continues. `keeper`, where there is
  // one, gives the turns so far and keeps each new one.
  Responder(Session& session, const Tokenizer& tokenizer, const InterruptGuard& interrupt,
            std::optional<ChatFormat> format, Conversation conversation, AnswerOptions options,
            SessionKeeper* keeper = nullptr);

  // `images`: URLs, as Conversation::AddUser takes them. An interrupt ends the answer where it is,
  // with kCancelled as its finish reason. After an error the message counts as not said; after one
  // of the keeper it was answered, and is not kept.
  Result<GenerateResult> Answer(const std::string& message,
                                const std::vector<std::string>& images = {});
  // Begins anew; the system text stays.
  void Reset() { conversation_.Reset(); }

  std::optional<ChatFormat> format() const { return format_; }
  bool reads_images() const { return session_.model.config.vision.has_value(); }
  // "[prompt: 7 tokens in 0.01 s (700.0 tokens/s); answer: …]"
  std::string TimingLine(const GenerateResult& result) const;

 private:
  Session& session_;
  const Tokenizer& tokenizer_;
  const InterruptGuard& interrupt_;
  const std::optional<ChatFormat> format_;
  const AnswerOptions options_;
  Engine engine_;
  Conversation conversation_;
  SessionKeeper* keeper_;
  uint64_t turns_ = 0;
};

}  // namespace fulmen
