#include "call/web_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/check.h"
#include "base/parse_number.h"

namespace fulmen {
namespace {

using CurlNumber = decltype(0L);  // of all its options that are numbers

constexpr CurlNumber kConnectSeconds = 20;
constexpr size_t kMostHeaderBytes = size_t{1} << 18;

template <class Value>
void Set(void* curl, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(curl, option, value);
  FULMEN_CHECK(code == CURLE_OK, "option {}: {}", static_cast<int>(option),
               curl_easy_strerror(code));
}

bool IsTransient(CURLcode code) {
  constexpr std::array kCodes = {
      CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT, CURLE_PARTIAL_FILE,
      CURLE_GOT_NOTHING,     CURLE_RECV_ERROR,         CURLE_SEND_ERROR,
      CURLE_HTTP2,           CURLE_HTTP2_STREAM,       CURLE_SSL_CONNECT_ERROR};
  return std::ranges::find(kCodes, code) != kCodes.end();
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

void SetUpLibrary() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  FULMEN_CHECK(done == CURLE_OK, "{}", curl_easy_strerror(done));
}

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

// What the callbacks of one request share. They are called from C, so nothing may be thrown.
struct WebClient::Transfer {
  const std::function<bool()>& stopped;
  const std::function<Status(std::string_view)>& on_event_bytes;
  WebReply reply = {};
  size_t header_bytes = 0;
  Status status = {};
  std::array<char, CURL_ERROR_SIZE> detail = {};

  void TakeHeader(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // the next answer, behind one like 100 or 102
      reply = {};
      const std::string_view rest = line.substr(std::min(line.find(' '), line.size()));
      reply.status =
          ParseNumber<int>(Trimmed(rest).substr(0, 3), {.low = 100, .high = 999}).value_or(0);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string name = Lower(line.substr(0, colon));
    const std::string_view value = Trimmed(line.substr(colon + 1));
    constexpr Range<int64_t> kWait = {.low = 0, .high = int64_t{1} << 40};
    if (name == "content-type") {
      reply.stream = reply.status / 100 == 2 && Lower(value).starts_with("text/event-stream");
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

  Status TakeBytes(std::string_view bytes) {
    if (reply.stream) return on_event_bytes(bytes);
    if (reply.body.size() + bytes.size() > kMostBytes) {
      return Fail(ErrorCode::kCorrupt, "an answer of at most {} bytes is expected, found more",
                  kMostBytes);
    }
    reply.body += bytes;
    return {};
  }

  // Runs what may fail or throw; false ends the transfer.
  template <class Call>
  bool Guard(Call call) {
    if (!status) return false;
    try {
      status = call();
    } catch (const std::exception& error) {
      status = Fail(ErrorCode::kIo, "{}", error.what());
    }
    return status.has_value();
  }

  static size_t OnHeader(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const bool go_on = transfer.Guard([&]() -> Status {
      transfer.header_bytes += size;
      if (transfer.header_bytes > kMostHeaderBytes) {
        return Fail(ErrorCode::kCorrupt, "the answer's headers do not end");
      }
      transfer.TakeHeader({data, size});
      return {};
    });
    return go_on ? size : 0;
  }

  static size_t OnBytes(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    return transfer.Guard([&] { return transfer.TakeBytes({data, size}); }) ? size : 0;
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->stopped() ? 1 : 0;
  }
};

void WebClient::Closer::operator()(void* handle) const { curl_easy_cleanup(handle); }

WebClient::WebClient(std::function<bool()> stopped) : stopped_(std::move(stopped)) {
  SetUpLibrary();
  curl_.reset(curl_easy_init());
  FULMEN_CHECK(curl_ != nullptr, "libcurl gives no handle");
}

WebClient::~WebClient() = default;

void WebClient::SetUp(const WebRequest& request, Transfer& transfer) {
  void* curl = curl_.get();
  curl_easy_reset(curl);  // keeps the connection
  Set(curl, CURLOPT_URL, request.url.c_str());
  Set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(curl, CURLOPT_FOLLOWLOCATION, CurlNumber{0});
  Set(curl, CURLOPT_USERAGENT, "fulmen");
  Set(curl, CURLOPT_NOSIGNAL, CurlNumber{1});
  Set(curl, CURLOPT_TCP_NODELAY, CurlNumber{1});
  Set(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  Set(curl, CURLOPT_ERRORBUFFER, transfer.detail.data());
  Set(curl, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  Set(curl, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  Set(curl, CURLOPT_WRITEFUNCTION, &Transfer::OnBytes);
  Set(curl, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  Set(curl, CURLOPT_NOPROGRESS, CurlNumber{0});
  Set(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  Set(curl, CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  if (request.body) {
    Set(curl, CURLOPT_POST, CurlNumber{1});
    Set(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    Set(curl, CURLOPT_POSTFIELDS, request.body->data());
  }
}

CallResult<WebReply> WebClient::Send(
    const WebRequest& request, const std::function<Status(std::string_view)>& on_event_bytes) {
  Transfer transfer = {.stopped = stopped_, .on_event_bytes = on_event_bytes};
  SetUp(request, transfer);
  const HeaderList headers = ListOf(request.headers);
  Set(curl_.get(), CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl_.get());
  const auto refuse = [](CallError error) { return tl::unexpected<CallError>(std::move(error)); };
  if (!transfer.status) return refuse({.error = transfer.status.error()});
  if (stopped_()) return refuse({.error = {ErrorCode::kCancelled, "stopped"}});
  if (code != CURLE_OK) {
    const std::string detail = transfer.detail.data();
    return refuse({.error = {ErrorCode::kUnavailable,
                             detail.empty() ? std::string(curl_easy_strerror(code)) : detail},
                   .transient = IsTransient(code)});
  }
  return std::move(transfer.reply);
}

}  // namespace fulmen
