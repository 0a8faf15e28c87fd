#include "serve/http_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/optional.hpp>
#include <functional>
#include <string>
#include <utility>

#include "base/ascii.h"

namespace fulmen {
namespace {

namespace beast = boost::beast;
using beast::http::field;
using BeastError = beast::error_code;
using HttpError = beast::http::error;

// A client that says it will send more than this has memory set aside for it once this has come.
constexpr size_t kBelievedLength = size_t{1} << 20;

// What the parser may leave unread of a chunked body: "0", two line ends, and no less ever follows.
constexpr size_t kLeastLastChunk = 5;

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

class HttpParser::Impl final : public beast::http::basic_parser<true> {
 public:
  explicit Impl(const HttpLimits& limits) : limits_(limits) {
    body_limit(boost::none);  // on_body_init_impl and on_chunk_header_impl see to it
    header_limit(static_cast<uint32_t>(limits.header));
  }

  ApiResult<size_t> Put(std::string_view bytes);

  ApiError TooLarge() const {
    return {ApiErrorKind::kTooLarge,
            fmt::format("expected a body of at most {} bytes", limits_.body)};
  }
  void LimitBody(size_t bytes) { limits_.body = std::min(limits_.body, bytes); }
  bool IsTooLong(uint64_t more) const { return more > limits_.body - request.body.size(); }

  HttpRequest request;
  HttpTarget target;

 private:
  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view text,
                       int version, BeastError& error) override {
    request.method = View(method);
    request.is_http_10 = version == 10;
    header_bytes_ = method.size() + text.size();
    auto parsed = ParseHttpTarget(View(text));
    if (!parsed) {
      problem_ = std::move(parsed).error();
      error = HttpError::bad_target;
      return;
    }
    target = *std::move(parsed);
    request.path = target.path;
    request.query = target.query;
  }

  void on_response_impl(int, beast::string_view, int, BeastError&) override {}

  void on_field_impl(field name, beast::string_view text, beast::string_view value,
                     BeastError& error) override;

  void on_header_impl(BeastError&) override {}

  void on_body_init_impl(const boost::optional<uint64_t>& length, BeastError& error) override {
    if (length && IsTooLong(*length)) error = HttpError::body_limit;
    if (!error && length) length_ = static_cast<size_t>(*length);
  }

  size_t on_body_impl(beast::string_view body, BeastError&) override { return Append(View(body)); }

  void on_chunk_header_impl(uint64_t size, beast::string_view extension,
                            BeastError& error) override {
    // A quoted line feed would end the line for some.
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' && c != '\t'; };
    if (std::any_of(extension.begin(), extension.end(), is_control)) {
      error = HttpError::bad_chunk_extension;
    } else if (IsTooLong(size)) {
      error = HttpError::body_limit;
    }
  }

  size_t on_chunk_body_impl(uint64_t, beast::string_view body, BeastError&) override {
    return Append(View(body));
  }

  void on_finish_impl(BeastError&) override {}

  size_t Append(std::string_view body) {
    if (request.body.size() >= kBelievedLength && length_ > request.body.capacity()) {
      request.body.reserve(length_);
    }
    request.body += body;
    return body.size();
  }

  HttpLimits limits_;
  std::optional<ApiError> problem_;  // what Beast has no code for
  size_t header_bytes_ = 0;
  size_t length_ = 0;
  bool has_length_ = false;
};

void HttpParser::Impl::on_field_impl(field name, beast::string_view text, beast::string_view value,
                                     BeastError& error) {
  // A folded value does not lie behind its name, or not in the same line.
  const char* expected = text.data() + text.size() + 1;
  while (*expected == ' ' || *expected == '\t') ++expected;
  if (value.data() != expected) {
    error = HttpError::bad_value;
    return;
  }
  header_bytes_ += text.size() + value.size() + 4;
  if (header_bytes_ > limits_.header) {
    error = HttpError::header_limit;
    return;
  }
  // Trailers. Nobody waits for any.
  if (is_header_done()) return;
  if (request.headers.size() == limits_.headers) {
    error = HttpError::header_limit;
  } else if (name == field::content_length) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (std::exchange(has_length_, true)) {
      error = HttpError::multiple_content_length;
    } else if (!std::all_of(value.begin(), value.end(), is_digit)) {
      error = HttpError::bad_content_length;
    }
  } else if (name == field::transfer_encoding) {
    if (request.is_http_10 || !SameIgnoringCase(View(value), "chunked")) {
      error = HttpError::bad_transfer_encoding;
    }
  }
  request.headers.emplace_back(View(text), View(value));
}

ApiResult<size_t> HttpParser::Impl::Put(std::string_view bytes) {
  size_t taken = 0;
  if (!got_some()) {
    // Some clients end a body with a line that is not part of it.
    if (bytes.starts_with("\r\n")) taken = 2;
    if (bytes == "\r") return 0;
  }
  const bool had_header = got_some() && is_header_done();
  while (taken < bytes.size() && !is_done()) {
    if (had_header && chunked() && bytes.size() - taken < kLeastLastChunk) break;
    BeastError error;
    const std::string_view rest = bytes.substr(taken);
    taken += put(boost::asio::const_buffer(rest.data(), rest.size()), error);
    if (error == HttpError::need_more) break;
    if (error == HttpError::body_limit) return tl::unexpected(TooLarge());
    if (problem_) return tl::unexpected(*problem_);
    if (error == HttpError::header_limit) {
      return ApiFail(ApiErrorKind::kInvalid, "",
                     "expected at most {} headers, and {} bytes of them all", limits_.headers,
                     limits_.header);
    }
    if (error) {
      return ApiFail(ApiErrorKind::kInvalid, "", "expected a request of HTTP/1.1, found {}",
                     error.message());
    }
    if (!had_header && is_header_done()) break;
  }
  return taken;
}

HttpParser::HttpParser(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
HttpParser::~HttpParser() = default;

ApiResult<size_t> HttpParser::Put(std::string_view bytes) { return impl_->Put(bytes); }
bool HttpParser::has_begun() const { return impl_->got_some(); }
bool HttpParser::has_header() const { return impl_->got_some() && impl_->is_header_done(); }
bool HttpParser::is_done() const { return impl_->got_some() && impl_->is_done(); }
HttpRequest& HttpParser::request() { return impl_->request; }
const HttpTarget& HttpParser::target() const { return impl_->target; }
bool HttpParser::keep_alive() const { return impl_->keep_alive(); }
bool HttpParser::has_body() const { return !impl_->is_done(); }

void HttpParser::LimitBody(size_t bytes) { impl_->LimitBody(bytes); }

ApiResult<void> HttpParser::CheckLength() const {
  const auto length = impl_->content_length();
  if (length && impl_->IsTooLong(*length)) return tl::unexpected(impl_->TooLarge());
  return {};
}

}  // namespace fulmen
