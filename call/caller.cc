#include "call/caller.h"

#include <random>
#include <thread>
#include <utility>

#include "call/sse.h"

namespace fulmen {
namespace {

constexpr std::string_view kMask = "(hidden)";

}  // namespace

ApiCaller::ApiCaller(CallTarget target, CallRetries retries, CallHooks hooks)
    : target_(std::move(target)),
      retries_(retries),
      hooks_(std::move(hooks)),
      http_(hooks_.stopped) {}

Json ApiCaller::Shown(const CallRequest& request) const {
  return {{"method", "POST"},
          {"url", ChatUrl(target_.api, target_.url)},
          {"headers", RequestHeaders(target_.api, target_.key.empty() ? "" : kMask)},
          {"body", RequestBody(target_.api, request)}};
}

bool ApiCaller::Pause(std::chrono::milliseconds pause) const {
  const auto until = std::chrono::steady_clock::now() + pause;
  while (std::chrono::steady_clock::now() < until) {
    if (hooks_.stopped()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

template <class T>
CallResult<T> ApiCaller::Repeat(const std::function<TryResult<T>()>& once) {
  std::minstd_rand random{std::random_device()()};
  std::chrono::milliseconds pause = retries_.first_pause;
  for (int tries = 0;; ++tries) {
    TryResult<T> result = once();
    if (result) return *std::move(result);
    Try& failed = result.error();
    const std::chrono::milliseconds asked = failed.asked.value_or(std::chrono::milliseconds(0));
    if (failed.error.transient && asked > retries_.longest_wait) {
      failed.error.error.message +=
          fmt::format(" (it asks to come again in {} s)", asked.count() / 1000);
      return tl::unexpected<CallError>(std::move(failed.error));
    }
    if (!failed.error.transient || tries >= retries_.most) {
      return tl::unexpected<CallError>(std::move(failed.error));
    }
    // Not all that were refused together should come again together.
    const auto wait =
        std::max(asked, pause * std::uniform_int_distribution<int>(75, 125)(random) / 100);
    hooks_.on_retry(failed.error, wait);
    if (!Pause(wait)) {
      return tl::unexpected<CallError>(CallError{.error = {ErrorCode::kCancelled, "stopped"}});
    }
    pause *= 2;
  }
}

ApiCaller::TryResult<WebReply> ApiCaller::SendOnce(
    const WebRequest& request, const std::function<Status(std::string_view)>& on_event_bytes) {
  auto sent = http_.Send(request, on_event_bytes);
  const std::string origin = request.url.substr(0, request.url.find('?'));
  if (!sent) {
    CallError error = std::move(sent).error();
    if (error.error.code == ErrorCode::kUnavailable) {
      error.error.message = fmt::format("{}: {}", origin, error.error.message);
    }
    return tl::unexpected<Try>(Try{std::move(error)});
  }
  if (sent->status / 100 == 2) return *std::move(sent);
  Try failed = {ErrorOfStatus(sent->status, sent->body), sent->retry_after};
  if (sent->should_retry) failed.error.transient = *sent->should_retry;
  if (sent->status / 100 == 3) {
    failed.error.error.message = fmt::format(
        "the server answered with status {} and sends elsewhere, to {}; nothing was sent there",
        sent->status, sent->location.empty() ? "no address" : sent->location);
  }
  failed.error.error.message = fmt::format("{}: {}", origin, failed.error.error.message);
  return tl::unexpected<Try>(std::move(failed));
}

ApiCaller::TryResult<Reply> ApiCaller::AskOnce(const WebRequest& request) {
  ReplyReader reader(target_.api, hooks_.on_piece);
  SseReader events;
  std::optional<CallError> broken;
  const auto on_event_bytes = [&](std::string_view bytes) {
    return events.Feed(bytes, [&](std::string_view, std::string_view data) -> Status {
      auto taken = reader.TakeEvent(data);
      if (taken) return {};
      broken = std::move(taken).error();
      return tl::unexpected<Error>(broken->error);
    });
  };
  const auto refuse = [&](Try failed) {
    if (reader.began()) failed.error.transient = false;  // what was shown cannot be taken back
    return tl::unexpected<Try>(std::move(failed));
  };
  auto sent = SendOnce(request, on_event_bytes);
  if (broken) return refuse({*std::move(broken)});
  if (!sent) return refuse(std::move(sent).error());
  if (!sent->stream) {
    if (auto taken = reader.TakeWhole(sent->body); !taken) {
      return refuse({std::move(taken).error(), sent->retry_after});
    }
  }
  auto reply = reader.Finish();
  if (!reply) return refuse({std::move(reply).error()});
  return *std::move(reply);
}

CallResult<Reply> ApiCaller::Ask(const CallRequest& request) {
  const WebRequest http = {.url = ChatUrl(target_.api, target_.url),
                           .headers = RequestHeaders(target_.api, target_.key),
                           .body = DumpJson(RequestBody(target_.api, request))};
  return Repeat<Reply>([&] { return AskOnce(http); });
}

CallResult<std::string> ApiCaller::FirstModel() {
  const WebRequest http = {.url = ModelsUrl(target_.api, target_.url),
                           .headers = RequestHeaders(target_.api, target_.key)};
  return Repeat<std::string>([&]() -> TryResult<std::string> {
    auto sent = SendOnce(http, [](std::string_view) { return Status(); });
    if (!sent) return tl::unexpected<Try>(std::move(sent).error());
    const Result<Json> list = ParseJson(sent->body, "the list of models");
    if (list) {
      const Json& data = Member(*list, "data");
      const Json& id = data.is_array() && !data.empty() ? Member(data.front(), "id") : data;
      if (id.is_string()) return id.get<std::string>();
    }
    return tl::unexpected<Try>(
        Try{Unreadable(fmt::format("{} lists no model: name one with -m", http.url))});
  });
}

}  // namespace fulmen
