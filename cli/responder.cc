#include "cli/responder.h"

#include <fmt/core.h>
#include <unistd.h>

#include <memory>
#include <string_view>
#include <utility>

#include "base/console.h"
#include "cli/progress.h"
#include "cli/terminal_text.h"

namespace fulmen {
namespace {

// An answer as it comes: text to standard output, thoughts to a terminal only, and dim.
class AnswerWriter {
 public:
  void Write(const AnswerPiece& piece) {
    switch (piece.kind) {
      case AnswerPiece::Kind::kReasoning:
        if (talks_) SayText("\x1b[2m" + ForTerminal(piece.text) + "\x1b[0m");
        thinking_ = true;
        return;
      case AnswerPiece::Kind::kText:
        if (talks_ && std::exchange(thinking_, false)) Say("\n\n");
        status_ = PrintNow(terminal_ ? ForTerminal(piece.text) : piece.text);
        return;
      default:
        return;  // no tools are offered here, so none are called
    }
  }
  const Status& status() const { return status_; }

 private:
  const bool terminal_ = isatty(STDOUT_FILENO) == 1;
  const bool talks_ = isatty(STDERR_FILENO) == 1;
  bool thinking_ = false;
  Status status_;
};

}  // namespace

Responder::Responder(Session& session, const Tokenizer& tokenizer, const InterruptGuard& interrupt,
                     std::optional<ChatFormat> format, Conversation conversation,
                     AnswerOptions options, SessionKeeper* keeper)
    : session_(session),
      tokenizer_(tokenizer),
      interrupt_(interrupt),
      format_(format),
      options_(std::move(options)),
      engine_(session.model, &tokenizer, session.compute,
              EngineOptionsFor(session, options_.several_turns)),
      conversation_(std::move(conversation)),
      keeper_(keeper) {}

Result<GenerateResult> Responder::Answer(const std::string& message,
                                         const std::vector<std::string>& images) {
  FULMEN_ASSIGN(Request request, conversation_.AddUser(message, images));
  request.sampling = options_.sampling;
  request.sampling.seed += turns_;
  request.max_tokens = options_.max_tokens;
  request.stop_strings = options_.stops;
  request.grammar = options_.grammar;
  if (!options_.ignore_eos) {
    request.stop_tokens = EndTokens(session_.model, &tokenizer_, format_.has_value());
  }

  AnswerWriter writer;
  auto progress = std::make_unique<Progress>(options_.progress ? "reading the prompt" : "",
                                             static_cast<int64_t>(request.prompt.size()));
  int64_t shown = 0;
  GenerateHooks hooks;
  hooks.cancel = &interrupt_.flag();
  hooks.on_prompt_read = [&](const PromptProgress& read) {
    if (progress) progress->Add(read.read - std::exchange(shown, read.read));
    if (read.read == read.total) progress.reset();
  };
  hooks.on_piece = [&](const AnswerPiece& piece) {
    if (!options_.stream || !writer.status()) return;
    writer.Write(piece);
    if (!writer.status()) interrupt_.flag() = true;  // nobody is there to read the rest
  };
  Result<GenerateResult> result = Generate(engine_, request, hooks);
  progress.reset();
  if (!result) {
    conversation_.Withdraw();
    return result;
  }
  FULMEN_TRY(writer.status());
  if (options_.stream) FULMEN_TRY(PrintNow("\n"));
  const SavedTurn turn = conversation_.AddAnswer(*result);
  if (keeper_ != nullptr) FULMEN_TRY(keeper_->Keep(turn));
  ++turns_;
  return result;
}

std::string Responder::TimingLine(const GenerateResult& result) const {
  const auto rate = [](int64_t tokens, double seconds) {
    return tokens <= 0 ? std::string()
                       : fmt::format(" ({:.1f} tokens/s)", static_cast<double>(tokens) / seconds);
  };
  const int64_t read = result.usage.prompt_tokens - result.usage.cached_tokens;
  return fmt::format(
      "[prompt: {} tokens in {:.2f} s{}; answer: {} tokens in {:.2f} s{}; {}{}]", read,
      result.timings.prompt_seconds, rate(read, result.timings.prompt_seconds), result.ids.size(),
      result.timings.decode_seconds,
      rate(result.usage.output_tokens - 1, result.timings.decode_seconds),
      FinishReasonName(result.finish_reason),
      options_.sampling.temperature > 0 ? fmt::format("; seed {}", options_.sampling.seed) : "");
}

}  // namespace fulmen
