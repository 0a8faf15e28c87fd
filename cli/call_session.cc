#include "cli/call_session.h"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/console.h"
#include "base/printable.h"
#include "cli/terminal_text.h"

namespace fulmen {
namespace {

constexpr int kMostRounds = 32;  // of tool calls, for one message

// Whether whoever read standard output has gone.
bool OutputIsClosed() {
  pollfd file = {.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  return poll(&file, 1, 0) > 0 && (file.revents & POLLERR) != 0;
}

// The convention of no-color.org.
bool MayColour() {
  const char* variable = std::getenv("NO_COLOR");
  return variable == nullptr || *variable == '\0';
}

tl::unexpected<CallError> Refuse(Error error) {
  return tl::unexpected<CallError>(CallError{.error = std::move(error)});
}

Json UsageJson(const ReplyUsage& usage) {
  Json json = Json::object();
  const auto add = [&](const char* name, const std::optional<int64_t>& count) {
    if (count) json[name] = *count;
  };
  add("prompt_tokens", usage.prompt);
  add("cached_tokens", usage.cached);
  add("output_tokens", usage.output);
  add("reasoning_tokens", usage.reasoning);
  return json;
}

Json AnswerJson(const Reply& reply, const std::optional<CallCost>& cost) {
  Json json = {{"text", reply.text},
               {"model", reply.model},
               {"finish_reason", reply.end_word},
               {"usage", UsageJson(reply.usage)}};
  if (!reply.reasoning.empty()) json["reasoning"] = reply.reasoning;
  if (cost) json["cost"] = {{"amount", cost->amount}, {"currency", cost->currency}};
  return json;
}

}  // namespace

CallSession::CallSession(CallSessionOptions options, const InterruptGuard& interrupt)
    : options_(std::move(options)),
      interrupt_(interrupt),
      terminal_(isatty(STDOUT_FILENO) == 1),
      talks_on_terminal_(isatty(STDERR_FILENO) == 1),
      dim_(talks_on_terminal_ && MayColour()),
      request_({.model = options_.model,
                .system = options_.system,
                .messages = options_.messages,
                .tools = options_.tools,
                .schema = options_.schema ? options_.schema->schema() : Json(nullptr),
                .max_tokens = options_.max_tokens,
                .fields = options_.fields,
                .stream = options_.stream}),
      tools_(options_.tool_program, options_.ask, interrupt),
      caller_(options_.target, options_.retries,
              {.on_piece = [this](bool reasoning,
                                  std::string_view text) { return ShowPiece(reasoning, text); },
               .on_retry =
                   [this](const CallError& error, std::chrono::milliseconds pause) {
                     if (options_.quiet) return;
                     progress_.reset();
                     fulmen::Say("fulmen: {}; trying again in {:.1f} s\n",
                                 PrintableMessage(error.error),
                                 static_cast<double>(pause.count()) / 1000);
                     Wait();
                   },
               .stopped = [this] { return interrupt_.flag() || OutputIsClosed(); }}) {}

Json CallSession::Shown(const std::string& text, const std::vector<std::string>& images) {
  CallRequest request = request_;
  if (request.model.empty()) request.model = "(the first that the server lists)";
  request.messages.push_back(UserMessage(text, images));
  return caller_.Shown(request);
}

CallResult<Reply> CallSession::Say(const std::string& text,
                                   const std::vector<std::string>& images) {
  const Json before = request_.messages;
  request_.messages.push_back(UserMessage(text, images));
  CallResult<Reply> reply = AnswerAll();
  progress_.reset();
  if (!reply) {
    request_.messages = before;
    if (reply.error().error.code == ErrorCode::kCancelled && !interrupt_.flag()) {
      reply.error().error = {ErrorCode::kClosedPipe, "nobody reads the answer"};
    }
    return reply;
  }
  Keep();
  return reply;
}

CallResult<Reply> CallSession::AnswerAll() {
  if (request_.model.empty()) {
    auto model = caller_.FirstModel();
    if (!model) return tl::unexpected<CallError>(std::move(model).error());
    request_.model = *std::move(model);
  }
  for (int round = 0; round < kMostRounds; ++round) {
    CallResult<Reply> reply = AnswerOnce();
    if (!reply) return reply;
    request_.messages.push_back(AssistantMessage(*reply));
    if (reply->calls.empty() || reply->end == Reply::End::kLength) return reply;
    if (options_.tool_program.empty()) {
      return Refuse(
          {ErrorCode::kUnsupported, fmt::format("the model calls the tool {}, and none was offered",
                                                Printable(reply->calls.front().name, 80))});
    }
    for (const ReplyCall& call : reply->calls) {
      auto result = tools_.Run(call);
      if (!result) return Refuse(std::move(result).error());
      request_.messages.push_back(ToolMessage(call, *result));
    }
  }
  return Refuse({ErrorCode::kNoRoom,
                 fmt::format("an answer after at most {} rounds of tool calls is expected, found "
                             "more calls",
                             kMostRounds)});
}

void CallSession::Wait() {
  progress_ = std::make_unique<Progress>(options_.quiet ? "" : "waiting for the answer");
}

CallResult<Reply> CallSession::AnswerOnce() {
  Wait();
  thinking_ = false;
  CallResult<Reply> reply = caller_.Ask(request_);
  progress_.reset();
  if (!reply) return reply;
  if (const Status ended = EndAnswer(*reply); !ended) return Refuse(ended.error());
  return reply;
}

Status CallSession::ShowPiece(bool reasoning, std::string_view text) {
  progress_.reset();
  if (reasoning) {
    ShowReasoning(text);
    return {};
  }
  if (std::exchange(thinking_, false)) SayText("\n\n");
  if (options_.json) return {};
  return PrintNow(terminal_ ? ForTerminal(text) : std::string(text));
}

void CallSession::ShowReasoning(std::string_view text) {
  if (options_.quiet || options_.json) return;
  thinking_ = true;
  const std::string shown = talks_on_terminal_ ? ForTerminal(text) : std::string(text);
  SayText(dim_ ? "\x1b[2m" + shown + "\x1b[0m" : shown);
}

Status CallSession::EndAnswer(const Reply& reply) {
  if (std::exchange(thinking_, false)) SayText("\n");
  if (options_.json) {
    const Json json = AnswerJson(reply, CostOf(reply.usage, options_.price));
    if (reply.calls.empty()) {
      FULMEN_TRY(PrintNow(DumpJson(json) + "\n"));
    }
  } else if (!reply.text.empty()) {
    FULMEN_TRY(PrintNow("\n"));
  }
  TellUsage(reply);
  return {};
}

void CallSession::TellUsage(const Reply& reply) const {
  if (options_.quiet) return;
  const auto part = [](const std::optional<int64_t>& count, const char* what) {
    return count.value_or(0) == 0 ? std::string() : fmt::format(" ({} {})", *count, what);
  };
  const ReplyUsage& usage = reply.usage;
  std::string line = "[";
  if (usage.prompt && usage.output) {
    line += fmt::format("prompt: {} tokens{}; answer: {} tokens{}; ", *usage.prompt,
                        part(usage.cached, "cached"), *usage.output,
                        part(usage.reasoning, "reasoning"));
  }
  line += Printable(reply.end_word, 80);
  if (const auto cost = CostOf(usage, options_.price)) {
    line += fmt::format("; {}", Printable(CostText(*cost), 80));
  }
  SayText(line + "]\n");
}

Status CallSession::CheckSchema(const Reply& reply) const {
  return options_.schema ? options_.schema->Check(reply.text) : Status();
}

void CallSession::Keep() const {
  const Status kept = SaveCallConversation({.url = options_.target.url,
                                            .api = options_.target.api,
                                            .model = request_.model,
                                            .system = request_.system,
                                            .messages = request_.messages});
  if (!kept) {
    fulmen::Say("fulmen: the conversation cannot be kept for -c: {}\n",
                PrintableMessage(kept.error()));
  }
}

}  // namespace fulmen
