#include "serve/image_fetch.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/ascii.h"
#include "base/check.h"
#include "fetch/curl_handle.h"
#include "serve/image_url.h"

namespace fulmen {
namespace {

using Clock = std::chrono::steady_clock;
using CurlNumber = decltype(0L);  // of all its options that are numbers

constexpr size_t kMostHeaderBytes = size_t{64} << 10;

bool IsRedirect(CurlNumber status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Of the host, not of the URL.
bool IsFailure(CurlNumber status) { return status == 408 || status == 429 || status >= 500; }

// Without its parameters, in lower case.
std::string MediaType(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; \t"));
  return LowerCase(type);
}

// The octet streams are what stores of files say where nobody told them.
bool IsImageType(std::string_view type) {
  return type.starts_with("image/") || type == "application/octet-stream" ||
         type == "binary/octet-stream";
}

// What somebody sent, to be quoted.
std::string Quotable(std::string text) {
  constexpr size_t kLongest = 60;
  text.resize(std::min(text.size(), kLongest));
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~' || c == '\''; }, '?');
  return text;
}

// One fetch, over its redirects. The callbacks are called from C, so nothing may be thrown.
class ImageFetch {
 public:
  ImageFetch(const ImageFetchRules& rules, const ImageNetwork& network);

  // Afterwards there is a body, or the location of a redirect.
  Status Get(const ImageUrl& url);
  const std::string& location() const { return location_; }
  std::string TakeBody() { return std::move(body_); }

 private:
  CurlNumber AnswerStatus() const {
    CurlNumber status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  std::string AnswerType() const {  // "": it was not said
    const char* type = nullptr;
    curl_easy_getinfo(curl_.get(), CURLINFO_CONTENT_TYPE, &type);
    return type == nullptr ? "" : MediaType(type);
  }
  bool IsImage() const {
    const std::string type = AnswerType();
    return AnswerStatus() == 200 && (type.empty() || IsImageType(type));
  }
  Status Judge(const ImageUrl& url, CURLcode code);
  Status JudgeAnswer(const ImageUrl& url, bool is_whole);

  static curl_socket_t OnSocket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    auto& fetch = *static_cast<ImageFetch*>(self);
    if (!fetch.network_.may_connect(address->addr)) {
      fetch.was_refused_ = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
  static size_t OnHeader(char*, size_t, size_t size, void* self) noexcept {
    size_t& bytes = static_cast<ImageFetch*>(self)->header_bytes_;
    bytes += size;
    return bytes > kMostHeaderBytes ? 0 : size;
  }
  // What is not wanted ends the transfer.
  static size_t OnBytes(char* data, size_t, size_t size, void* self) noexcept {
    auto& fetch = *static_cast<ImageFetch*>(self);
    if (fetch.body_.empty() && !fetch.IsImage()) return 0;
    if (size > fetch.rules_.most_bytes - fetch.body_.size()) return 0;
    fetch.body_.append(data, size);
    return size;
  }

  struct Closer {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  const ImageFetchRules& rules_;
  const ImageNetwork& network_;
  const Clock::time_point end_;
  std::unique_ptr<curl_slist, Closer> resolve_;
  CurlHandle curl_;

  // Of the transfer under way.
  bool was_refused_ = false;
  size_t header_bytes_ = 0;
  std::string location_;
  std::string body_;
};

ImageFetch::ImageFetch(const ImageFetchRules& rules, const ImageNetwork& network)
    : rules_(rules),
      network_(network),
      end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(rules.seconds))) {
  for (const std::string& entry : network.resolve) {
    resolve_.reset(curl_slist_append(resolve_.release(), entry.c_str()));
  }
  curl_.Set(CURLOPT_RESOLVE, resolve_.get());
  curl_.Set(CURLOPT_PROTOCOLS_STR, "http,https");
  curl_.Set(CURLOPT_PROXY, "");  // nor one that the environment names: it would connect for us
  curl_.Set(CURLOPT_USERAGENT, "fulmen");
  curl_.SetNumber(CURLOPT_NOSIGNAL, 1);
  curl_.SetNumber(CURLOPT_QUICK_EXIT, 1);  // do not wait for a resolver that is slow
  curl_.Set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(rules.most_bytes));
  curl_.Set(CURLOPT_OPENSOCKETFUNCTION, &OnSocket);
  curl_.Set(CURLOPT_OPENSOCKETDATA, this);
  curl_.Set(CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_.Set(CURLOPT_HEADERDATA, this);
  curl_.Set(CURLOPT_WRITEFUNCTION, &OnBytes);
  curl_.Set(CURLOPT_WRITEDATA, this);
}

Status ImageFetch::Get(const ImageUrl& url) {
  if (!AllowsImageHost(rules_.hosts, url)) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the URL of an image on a host that this server may fetch from, found "
                "'{}' and port {}",
                url.host, url.port);
  }
  was_refused_ = false;
  header_bytes_ = 0;
  location_.clear();
  body_.clear();
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Clock::now());
  curl_.SetNumber(CURLOPT_TIMEOUT_MS, std::max<int64_t>(left.count(), 1));  // 0: ever
  curl_.Set(CURLOPT_URL, url.text.c_str());
  return Judge(url, curl_easy_perform(curl_.get()));
}

Status ImageFetch::Judge(const ImageUrl& url, CURLcode code) {
  // One sentence for both, or clients would learn which names a network of ours has.
  if ((was_refused_ && code == CURLE_COULDNT_CONNECT) ||
      (code == CURLE_COULDNT_RESOLVE_HOST && !rules_.private_addresses)) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the URL of an image on a host with a public address, found '{}'",
                url.host);
  }
  if (header_bytes_ > kMostHeaderBytes) {
    return Fail(ErrorCode::kUnavailable,
                "expected an image from '{}', found more than {} bytes of headers", url.host,
                kMostHeaderBytes);
  }
  // The latter two: we have ended it.
  if (code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED) {
    return JudgeAnswer(url, code == CURLE_OK);
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return Fail(ErrorCode::kUnavailable, "expected an image from '{}' within {:g} s, found none",
                url.host, rules_.seconds);
  }
  return Fail(ErrorCode::kUnavailable, "expected an image from '{}', found an error: {}", url.host,
              curl_easy_strerror(code));
}

Status ImageFetch::JudgeAnswer(const ImageUrl& url, bool is_whole) {
  const CurlNumber status = AnswerStatus();
  curl_header* location = nullptr;
  if (IsRedirect(status)) {
    curl_easy_header(curl_.get(), "Location", 0, CURLH_HEADER, -1, &location);
    location_ = location == nullptr ? "" : location->value;
    if (!location_.empty()) return {};
  }
  if (status != 200) {
    return Fail(IsFailure(status) ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
                "expected an image from '{}', found status {}", url.host, status);
  }
  if (!IsImage()) {
    return Fail(ErrorCode::kInvalidArgument, "expected an image from '{}', found the type '{}'",
                url.host, Quotable(AnswerType()));
  }
  if (!is_whole) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected an image of at most {} bytes from '{}', found more", rules_.most_bytes,
                url.host);
  }
  return {};
}

}  // namespace

Result<std::string> FetchImage(const std::string& url, const ImageFetchRules& rules) {
  ImageNetwork network;
  if (rules.private_addresses) network.may_connect = [](const sockaddr&) { return true; };
  return FetchImage(url, rules, network);
}

Result<std::string> FetchImage(const std::string& url, const ImageFetchRules& rules,
                               const ImageNetwork& network) {
  if (rules.hosts.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the bytes of an image, found its URL, which this server does not fetch");
  }
  ImageFetch fetch(rules, network);
  FULMEN_ASSIGN(ImageUrl at, ParseImageUrl(url));
  FULMEN_TRY(fetch.Get(at));
  for (int redirects = 0; !fetch.location().empty(); ++redirects) {
    if (redirects == rules.most_redirects) {
      return Fail(ErrorCode::kUnavailable,
                  "expected an image after at most {} redirects, found one more at '{}'",
                  rules.most_redirects, at.host);
    }
    Result<ImageUrl> next = ParseImageRedirect(at, fetch.location());
    const Status got = next.and_then([&](const ImageUrl& to) { return fetch.Get(to); });
    if (!got) {
      return Fail(got.error().code, "after a redirect from '{}': {}", at.host, got.error().message);
    }
    at = *std::move(next);
  }
  return fetch.TakeBody();
}

}  // namespace fulmen
