#include "fetch/host_connection.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/parse_number.h"

namespace fulmen {
namespace {

constexpr int64_t kMostRedirects = 10;
constexpr size_t kMostHeaderBytes = size_t{1} << 18;
constexpr size_t kLongestHeader = 8192;      // that is of any use
constexpr size_t kMostErrorBytes = 1 << 16;  // of a body that nobody reads
constexpr int64_t kSlowest = 100;            // bytes a second; what is slower stands still
constexpr int64_t kBuffer = 1 << 18;         // bytes

using CurlNumber = decltype(0L);  // of all its options that are numbers

template <class Value>
void Set(void* curl, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(curl, option, value);
  FULMEN_CHECK(code == CURLE_OK, "option {}: {}", static_cast<int>(option),
               curl_easy_strerror(code));
}

void SetNumber(void* curl, CURLoption option, int64_t value) {
  Set(curl, option, static_cast<CurlNumber>(value));
}

bool IsUnreachable(int code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
         code == CURLE_COULDNT_CONNECT;
}

bool IsTransient(int code) {
  constexpr std::array kCodes = {
      CURLE_OPERATION_TIMEDOUT, CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING,  CURLE_RECV_ERROR,
      CURLE_SEND_ERROR,         CURLE_HTTP2,        CURLE_HTTP2_STREAM, CURLE_SSL_CONNECT_ERROR};
  return IsUnreachable(code) || std::ranges::find(kCodes, code) != kCodes.end();
}

bool IsTransientStatus(int status) {
  return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

bool SameLetters(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

// The handles share nothing but what this sets up, once and for all threads.
void SetUpLibrary() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  FULMEN_CHECK(done == CURLE_OK, "{}", curl_easy_strerror(done));
}

}  // namespace

// What the callbacks of one request share. They are called from C, so nothing may be thrown.
struct HostConnection::Transfer {
  void* curl;
  const Receiver& receiver;
  const TransferOptions& options;
  GetResponse response = {};
  size_t header_bytes = 0;
  size_t error_bytes = 0;
  bool started = false;
  Status status = {};
  std::array<char, CURL_ERROR_SIZE> detail = {};

  bool Ok() const { return response.status >= 200 && response.status < 300; }

  void TakeHeader(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // the next answer of several
      response = {.linked_etag = std::move(response.linked_etag)};
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.size() > kLongestHeader) return;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trimmed(line.substr(colon + 1));
    for (const auto& [known, target] :
         {std::pair("content-range", &response.content_range), std::pair("etag", &response.etag),
          std::pair("link", &response.link), std::pair("x-error-code", &response.error_code),
          std::pair("x-linked-etag", &response.linked_etag)}) {
      if (SameLetters(name, known)) *target = value;
    }
    if (SameLetters(name, "content-length")) {
      const auto length = ParseNumber<int64_t>(value, {0, std::numeric_limits<int64_t>::max()});
      if (length) response.length = *length;
    }
  }

  Status Start() {
    if (std::exchange(started, true)) return {};
    CurlNumber number = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &number);
    response.status = static_cast<int>(number);
    std::erase(response.linked_etag, '"');
    return Ok() ? receiver.start(response) : Status();
  }

  Status TakeBytes(std::span<const std::byte> bytes) {
    FULMEN_TRY(Start());
    if (Ok()) return receiver.bytes(bytes);
    error_bytes += bytes.size();
    if (error_bytes <= kMostErrorBytes) return {};
    return Fail(ErrorCode::kUnavailable, "status {} and a long answer", response.status);
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
    const bool go_on =
        transfer.Guard([&] { return transfer.TakeBytes(std::as_bytes(std::span(data, size))); });
    return go_on ? size : 0;
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->options.stopped() ? 1 : 0;
  }
};

void HostConnection::Closer::operator()(void* handle) const { curl_easy_cleanup(handle); }

HostConnection::HostConnection(const TransferOptions& options) : options_(options) {
  SetUpLibrary();
  curl_.reset(curl_easy_init());
  FULMEN_CHECK(curl_ != nullptr, "libcurl gives no handle");
}

HostConnection::~HostConnection() = default;

void HostConnection::SetUp(const GetRequest& request, Transfer& transfer) {
  void* curl = curl_.get();
  curl_easy_reset(curl);  // keeps the connection
  // What follows a redirect away from TLS would send the rest for everyone to read.
  const bool secure = request.url.starts_with("https:");
  Set(curl, CURLOPT_URL, request.url.c_str());
  Set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  SetNumber(curl, CURLOPT_FOLLOWLOCATION, 1);
  SetNumber(curl, CURLOPT_MAXREDIRS, kMostRedirects);
  Set(curl, CURLOPT_USERAGENT, "fulmen");
  SetNumber(curl, CURLOPT_NOSIGNAL, 1);
  SetNumber(curl, CURLOPT_BUFFERSIZE, kBuffer);
  SetNumber(curl, CURLOPT_CONNECTTIMEOUT, options_.connect.count());
  SetNumber(curl, CURLOPT_LOW_SPEED_LIMIT, kSlowest);
  SetNumber(curl, CURLOPT_LOW_SPEED_TIME, options_.stall.count());
  Set(curl, CURLOPT_ERRORBUFFER, transfer.detail.data());
  Set(curl, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  Set(curl, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  Set(curl, CURLOPT_WRITEFUNCTION, &Transfer::OnBytes);
  Set(curl, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  SetNumber(curl, CURLOPT_NOPROGRESS, 0);
  Set(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  Set(curl, CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  if (!request.token.empty()) {
    // libcurl gives it to the host and port of the address alone, not to those of redirects.
    SetNumber(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    Set(curl, CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  if (request.range) {
    const std::string range = fmt::format("{}-{}", request.range->begin, request.range->end - 1);
    Set(curl, CURLOPT_RANGE, range.c_str());
  }
}

tl::expected<GetResponse, GetFailure> HostConnection::Get(const GetRequest& request,
                                                          const Receiver& receiver) {
  Transfer transfer = {.curl = curl_.get(), .receiver = receiver, .options = options_};
  SetUp(request, transfer);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, curl_slist_free_all);
  if (!request.if_range.empty()) {
    headers.reset(curl_slist_append(nullptr, ("If-Range: " + request.if_range).c_str()));
    Set(curl_.get(), CURLOPT_HTTPHEADER, headers.get());
  }
  const CURLcode code = curl_easy_perform(curl_.get());
  if (code == CURLE_OK) transfer.Guard([&] { return transfer.Start(); });
  if (code != CURLE_OK || !transfer.status || !transfer.Ok()) {
    return tl::unexpected<GetFailure>(Explain(code, transfer));
  }
  return std::move(transfer.response);
}

GetFailure HostConnection::Explain(int code, const Transfer& transfer) {
  GetFailure failure = {.error = {ErrorCode::kUnavailable, ""}, .response = transfer.response};
  if (options_.stopped()) {
    failure.error = {ErrorCode::kCancelled, "stopped"};
    return failure;
  }
  const bool refused = transfer.started && !transfer.Ok();
  if (!transfer.status && !refused) {
    failure.error = transfer.status.error();
    return failure;
  }
  if (code != CURLE_OK && !refused) {
    const std::string detail = transfer.detail.data();
    failure.error.message =
        detail.empty() ? curl_easy_strerror(static_cast<CURLcode>(code)) : detail;
    failure.transient = IsTransient(code);
    failure.unreachable = IsUnreachable(code);
    return failure;
  }
  failure.error.message = fmt::format("it answered with status {}", failure.response.status);
  failure.transient = IsTransientStatus(failure.response.status);
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(curl_.get(), CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0) {
    failure.wait = std::chrono::seconds(std::min<curl_off_t>(seconds, 1 << 30));
  }
  return failure;
}

tl::expected<std::pair<GetResponse, std::string>, GetFailure> HostConnection::GetText(
    const GetRequest& request, size_t most) {
  Retries retries(options_);
  while (true) {
    std::string text;
    const Receiver receiver = {
        .start = [&](const GetResponse&) { return Status(); },
        .bytes = [&](std::span<const std::byte> bytes) -> Status {
          if (text.size() + bytes.size() > most) {
            return Fail(ErrorCode::kCorrupt, "at most {} bytes are expected, found more", most);
          }
          text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          return {};
        }};
    auto response = Get(request, receiver);
    if (response) return std::pair(*std::move(response), std::move(text));
    // A host that cannot be reached now is for the user to judge.
    if (response.error().unreachable) return tl::unexpected(std::move(response).error());
    if (const Status wait = retries.Wait(response.error()); !wait) {
      response.error().error = wait.error();
      return tl::unexpected(std::move(response).error());
    }
  }
}

Status Retries::Wait(const GetFailure& failure) {
  using std::chrono::milliseconds;
  const auto refuse = [&] { return tl::unexpected<Error>(failure.error); };
  if (!failure.transient || ++failed_ >= options_.attempts) return refuse();
  if (failure.wait > options_.longest_wait) {
    return Fail(failure.error.code, "{}, and asks to come again in {} s", failure.error.message,
                failure.wait.count());
  }
  milliseconds pause = options_.first_pause;
  for (int i = 1; i < failed_ && pause < options_.longest_pause; ++i) pause *= 2;
  pause = std::min(pause, options_.longest_pause);
  // Not all that were refused together should come again together.
  pause = pause * std::uniform_int_distribution<int>(75, 125)(random_) / 100;
  const auto until = std::chrono::steady_clock::now() + std::max<milliseconds>(pause, failure.wait);
  while (std::chrono::steady_clock::now() < until) {
    if (options_.stopped()) return Fail(ErrorCode::kCancelled, "stopped");
    std::this_thread::sleep_for(std::min<milliseconds>(
        milliseconds(50),
        std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now()) +
            milliseconds(1)));
  }
  return {};
}

std::string OriginOf(const std::string& url) {
  const size_t host = url.find("://");
  return host == std::string::npos ? url : url.substr(0, url.find_first_of("/?#", host + 3));
}

}  // namespace fulmen
