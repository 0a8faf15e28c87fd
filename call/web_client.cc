#include "call/web_client.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/ascii.h"
#include "base/check.h"
#include "base/parse_number.h"

namespace fulmen {
namespace {

constexpr int64_t kConnectSeconds = 20;

using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

HeaderList ListOf(const std::vector<std::string>& headers) {
  // Without "Expect: 100-continue", for which a server would be waited a second.
  HeaderList list(curl_slist_append(nullptr, "Expect:"), curl_slist_free_all);
  for (const std::string& header : headers) {
    curl_slist* longer = curl_slist_append(list.get(), header.c_str());
    FULMEN_CHECK(longer != nullptr, "out of memory");
  }
  return list;
}

}  // namespace

struct WebClient::Transfer final : CurlTransfer {
  Transfer(const std::function<bool()>& when_stopped,
           const std::function<Status(std::string_view)>& for_events)
      : stopped(when_stopped), on_event_bytes(for_events) {}

  const std::function<bool()>& stopped;
  const std::function<Status(std::string_view)>& on_event_bytes;
  WebReply reply = {};

  void TakeHeader(std::string_view line) override {
    if (line.starts_with("HTTP/")) {  // the next answer, behind one like 100 or 102
      reply = {};
      const std::string_view rest = line.substr(std::min(line.find(' '), line.size()));
      reply.status =
          ParseNumber<int>(Trimmed(rest).substr(0, 3), {.low = 100, .high = 999}).value_or(0);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string name = LowerCase(line.substr(0, colon));
    const std::string_view value = Trimmed(line.substr(colon + 1));
    constexpr Range<int64_t> kWait = {.low = 0, .high = int64_t{1} << 40};
    if (name == "content-type") {
      reply.stream = reply.status / 100 == 2 && LowerCase(value).starts_with("text/event-stream");
    } else if (name == "location") {
      reply.location = value;
    } else if (name == "retry-after-ms") {
      const auto ms = ParseNumber<int64_t>(value, kWait);
      if (ms) reply.retry_after = std::chrono::milliseconds(*ms);
    } else if (name == "retry-after" && !reply.retry_after) {
      const auto seconds = ParseNumber<int64_t>(value, kWait);
      if (seconds) reply.retry_after = std::chrono::seconds(*seconds);
    } else if (name == "x-should-retry") {
      reply.should_retry = value == "true";
    }
  }

  Status TakeBytes(std::string_view bytes) override {
    if (reply.stream) return on_event_bytes(bytes);
    if (reply.body.size() + bytes.size() > kMostBytes) {
      return Fail(ErrorCode::kCorrupt, "an answer of at most {} bytes is expected, found more",
                  kMostBytes);
    }
    reply.body += bytes;
    return {};
  }

  bool Stopped() const override { return stopped(); }
};

WebClient::WebClient(std::function<bool()> stopped) : stopped_(std::move(stopped)) {}

void WebClient::SetUp(const WebRequest& request, Transfer& transfer) {
  curl_.Reset();
  curl_.Set(CURLOPT_URL, request.url.c_str());
  curl_.Set(CURLOPT_PROTOCOLS_STR, "http,https");
  curl_.SetNumber(CURLOPT_FOLLOWLOCATION, 0);
  curl_.Set(CURLOPT_USERAGENT, "fulmen");
  curl_.SetNumber(CURLOPT_NOSIGNAL, 1);
  curl_.SetNumber(CURLOPT_TCP_NODELAY, 1);
  curl_.SetNumber(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  transfer.Attach(curl_);
  if (request.body) {
    curl_.SetNumber(CURLOPT_POST, 1);
    curl_.Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    curl_.Set(CURLOPT_POSTFIELDS, request.body->data());
  }
}

CallResult<WebReply> WebClient::Send(
    const WebRequest& request, const std::function<Status(std::string_view)>& on_event_bytes) {
  Transfer transfer(stopped_, on_event_bytes);
  SetUp(request, transfer);
  const HeaderList headers = ListOf(request.headers);
  curl_.Set(CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl_.get());
  const auto refuse = [](CallError error) { return tl::unexpected<CallError>(std::move(error)); };
  if (!transfer.status()) return refuse({.error = transfer.status().error()});
  if (stopped_()) return refuse({.error = {ErrorCode::kCancelled, "stopped"}});
  if (code != CURLE_OK) {
    CallError error;  // in steps, since GCC 12 warns of the whole
    error.error = {ErrorCode::kUnavailable, transfer.Detail(code)};
    error.transient = IsTransient(code);
    return refuse(std::move(error));
  }
  return std::move(transfer.reply);
}

}  // namespace fulmen
