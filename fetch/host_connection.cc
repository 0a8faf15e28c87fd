#include "fetch/host_connection.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <thread>
#include <utility>

#include "base/ascii.h"
#include "base/parse_number.h"

namespace fulmen {
namespace {

constexpr int64_t kMostRedirects = 10;
constexpr size_t kLongestHeader = 8192;      // that is of any use
constexpr size_t kMostErrorBytes = 1 << 16;  // of a body that nobody reads
constexpr int64_t kSlowest = 100;            // bytes a second; what is slower stands still
constexpr int64_t kBuffer = 1 << 18;         // bytes

bool IsTransientStatus(int status) {
  return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

}  // namespace

struct HostConnection::Transfer final : CurlTransfer {
  Transfer(CURL* handle, const Receiver& for_answer, const TransferOptions& all_options)
      : curl(handle), receiver(for_answer), options(all_options) {}

  CURL* const curl;
  const Receiver& receiver;
  const TransferOptions& options;
  GetResponse response = {};
  size_t error_bytes = 0;
  bool started = false;

  bool Ok() const { return response.status >= 200 && response.status < 300; }

  void TakeHeader(std::string_view line) override {
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
      if (SameIgnoringCase(name, known)) *target = value;
    }
    if (SameIgnoringCase(name, "content-length")) {
      const auto length = ParseNumber<int64_t>(value, {0, std::numeric_limits<int64_t>::max()});
      if (length) response.length = *length;
    }
  }

  Status Start() {
    if (std::exchange(started, true)) return {};
    decltype(0L) number = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &number);
    response.status = static_cast<int>(number);
    std::erase(response.linked_etag, '"');
    return Ok() ? receiver.start(response) : Status();
  }

  // An empty body begins, too.
  void End() {
    Guard([this] { return Start(); });
  }

  Status TakeBytes(std::string_view bytes) override {
    FULMEN_TRY(Start());
    if (Ok()) return receiver.bytes(std::as_bytes(std::span(bytes)));
    error_bytes += bytes.size();
    if (error_bytes <= kMostErrorBytes) return {};
    return Fail(ErrorCode::kUnavailable, "status {} and a long answer", response.status);
  }

  bool Stopped() const override { return options.stopped(); }
};

HostConnection::HostConnection(const TransferOptions& options) : options_(options) {}

void HostConnection::SetUp(const GetRequest& request, Transfer& transfer) {
  curl_.Reset();
  // What follows a redirect away from TLS would send the rest for everyone to read.
  const bool secure = request.url.starts_with("https:");
  curl_.Set(CURLOPT_URL, request.url.c_str());
  curl_.Set(CURLOPT_PROTOCOLS_STR, "http,https");
  curl_.Set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  curl_.SetNumber(CURLOPT_FOLLOWLOCATION, 1);
  curl_.SetNumber(CURLOPT_MAXREDIRS, kMostRedirects);
  curl_.Set(CURLOPT_USERAGENT, "fulmen");
  curl_.SetNumber(CURLOPT_NOSIGNAL, 1);
  curl_.SetNumber(CURLOPT_BUFFERSIZE, kBuffer);
  curl_.SetNumber(CURLOPT_CONNECTTIMEOUT, options_.connect.count());
  curl_.SetNumber(CURLOPT_LOW_SPEED_LIMIT, kSlowest);
  curl_.SetNumber(CURLOPT_LOW_SPEED_TIME, options_.stall.count());
  transfer.Attach(curl_);
  if (!request.token.empty()) {
    // libcurl gives it to the host and port of the address alone, not to those of redirects.
    curl_.SetNumber(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_.Set(CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  if (request.range) {
    const std::string range = fmt::format("{}-{}", request.range->begin, request.range->end - 1);
    curl_.Set(CURLOPT_RANGE, range.c_str());
  }
}

tl::expected<GetResponse, GetFailure> HostConnection::Get(const GetRequest& request,
                                                          const Receiver& receiver) {
  Transfer transfer(curl_.get(), receiver, options_);
  SetUp(request, transfer);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, curl_slist_free_all);
  if (!request.if_range.empty()) {
    headers.reset(curl_slist_append(nullptr, ("If-Range: " + request.if_range).c_str()));
    curl_.Set(CURLOPT_HTTPHEADER, headers.get());
  }
  const CURLcode code = curl_easy_perform(curl_.get());
  if (code == CURLE_OK) transfer.End();
  if (code != CURLE_OK || !transfer.status() || !transfer.Ok()) {
    return tl::unexpected<GetFailure>(Explain(code, transfer));
  }
  return std::move(transfer.response);
}

GetFailure HostConnection::Explain(CURLcode code, const Transfer& transfer) {
  GetFailure failure = {.error = {ErrorCode::kUnavailable, ""}, .response = transfer.response};
  if (options_.stopped()) {
    failure.error = {ErrorCode::kCancelled, "stopped"};
    return failure;
  }
  const bool refused = transfer.started && !transfer.Ok();
  if (!transfer.status() && !refused) {
    failure.error = transfer.status().error();
    return failure;
  }
  if (code != CURLE_OK && !refused) {
    failure.error.message = transfer.Detail(code);
    failure.unreachable = IsUnreachable(code);
    failure.transient = failure.unreachable || IsTransient(code);
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
