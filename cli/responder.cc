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

Status Write(std::string_view text) {
  PrintText(text);
  return FlushOutput();
}

}  // namespace

Responder::Responder(Session& session, const Tokenizer& tokenizer, const InterruptGuard& interrupt,
                     std::optional<ChatFormat> format, const std::string& system,
                     AnswerOptions options)
    : session_(session),
      tokenizer_(tokenizer),
      interrupt_(interrupt),
      format_(format),
      options_(std::move(options)),
      conversation_(session.model, tokenizer, format, system, session.kv_type) {}

Result<GenerateResult> Responder::Answer(const std::string& message) {
  FULMEN_ASSIGN(GenerateRequest request, conversation_.AddUser(message));
  request.sampling = options_.sampling;
  request.sampling.seed += turns_;
  request.max_tokens = options_.max_tokens;
  request.stop_strings = options_.stops;
  if (!options_.ignore_eos) {
    request.stop_tokens = EndTokens(session_.model, &tokenizer_, format_.has_value());
  }

  Status written;
  auto progress = std::make_unique<Progress>(options_.progress ? "reading the prompt" : "",
                                             static_cast<int64_t>(request.prompt.size()));
  int64_t shown = 0;
  GenerateHooks hooks;
  hooks.cancel = &interrupt_.flag();
  hooks.on_prompt_read = [&](int64_t read, int64_t total) {
    if (progress) progress->Add(read - std::exchange(shown, read));
    if (read == total) progress.reset();
  };
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  hooks.on_text = [&](std::string_view text) {
    if (!options_.stream || !written) return;
    written = terminal ? Write(ForTerminal(text)) : Write(text);
    if (!written) interrupt_.flag() = true;  // nobody is there to read the rest
  };
  Result<GenerateResult> result = Generate(session_.model, &tokenizer_, session_.compute,
                                           conversation_.state(), request, hooks);
  progress.reset();
  if (!result) {
    conversation_.Withdraw();
    return result;
  }
  FULMEN_TRY(written);
  if (options_.stream) FULMEN_TRY(Write("\n"));
  conversation_.AddAnswer(request, *result);
  ++turns_;
  return result;
}

std::string Responder::TimingLine(const GenerateResult& result) const {
  const GenerateTimings& timings = result.timings;
  const auto rate = [](int64_t tokens, double seconds) {
    return tokens == 0 ? std::string()
                       : fmt::format(" ({:.1f} tokens/s)", static_cast<double>(tokens) / seconds);
  };
  return fmt::format(
      "[prompt: {} tokens in {:.2f} s{}; answer: {} tokens in {:.2f} s{}; {}{}]",
      timings.prompt_tokens, timings.prompt_seconds,
      rate(timings.prompt_tokens, timings.prompt_seconds), result.ids.size(),
      timings.decode_seconds, rate(timings.decode_tokens, timings.decode_seconds),
      FinishReasonName(result.finish_reason),
      options_.sampling.temperature > 0 ? fmt::format("; seed {}", options_.sampling.seed) : "");
}

}  // namespace fulmen
