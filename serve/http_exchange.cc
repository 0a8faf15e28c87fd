#include "serve/http_exchange.h"

#include <stdexcept>

namespace fulmen {
namespace {

using boost::asio::awaitable;

// A shorter body goes out together with its head.
constexpr size_t kShortBody = size_t{64} << 10;

}  // namespace

HttpExchange::HttpExchange(HttpSocket& socket, HttpRequest request, bool keep_alive,
                           std::vector<std::pair<std::string, std::string>> headers)
    : Exchange(std::move(request)),
      socket_(socket),
      keep_alive_(keep_alive),
      headers_(std::move(headers)) {}

HttpExchange::~HttpExchange() { socket_.OnLeave(nullptr); }

awaitable<void> HttpExchange::Respond(HttpResponse response) {
  Begin(response, State::kEnded);
  std::string head = WriteHead({request(), response, HttpFraming::kLength, keep_alive_});
  if (is_head() || !HasBody(response.status)) response.body.clear();
  if (response.body.size() <= kShortBody) {
    head += response.body;
    response.body.clear();
  }
  bool is_whole = co_await Send(head);
  if (is_whole && !response.body.empty()) {
    is_whole = co_await Send(response.body);
  }
  End(is_whole);
}

awaitable<bool> HttpExchange::BeginStream(HttpResponse head) {
  Begin(head, State::kStream);
  framing_ = request().is_http_10 ? HttpFraming::kUntilClose : HttpFraming::kChunked;
  if (request().is_http_10) keep_alive_ = false;
  head.headers.emplace_back("cache-control", "no-cache");
  head.headers.emplace_back("x-accel-buffering", "no");
  const std::string text = WriteHead({request(), head, framing_, keep_alive_});
  const bool is_sent = co_await Send(text);
  is_cut_ = !is_sent || has_left();
  co_return !is_cut_ && !is_head();
}

awaitable<bool> HttpExchange::Write(std::string_view piece) {
  if (state_ != State::kStream) throw std::logic_error("a piece of an answer that is no stream");
  if (is_head()) co_return false;
  is_cut_ = is_cut_ || has_left();
  if (!is_cut_ && !piece.empty()) {  // an empty chunk would be the last
    std::string chunk;
    if (framing_ == HttpFraming::kChunked) AppendChunk(piece, chunk);
    const bool is_sent = co_await Send(chunk.empty() ? piece : chunk);
    is_cut_ = !is_sent || has_left();
  }
  co_return !is_cut_;
}

awaitable<void> HttpExchange::EndStream() {
  if (state_ != State::kStream) throw std::logic_error("the end of an answer that is no stream");
  // A stream that lacks a piece must not look whole.
  bool is_whole = !is_cut_;
  if (is_whole && framing_ == HttpFraming::kChunked && !is_head()) {
    is_whole = co_await Send(kLastChunk);
  }
  End(is_whole);
}

awaitable<bool> HttpExchange::Interim(int status) {
  if (has_begun()) throw std::logic_error("an interim answer after the answer has begun");
  if (!request().is_http_10) {
    const std::string head = WriteInterimHead(status);
    co_await Send(head);
  }
  co_return !has_left();
}

void HttpExchange::OnLeave(std::function<void()> leave) {
  if (!has_ended()) socket_.OnLeave(std::move(leave));
}

void HttpExchange::Begin(HttpResponse& response, State next) {
  if (has_begun()) throw std::logic_error("an answer that is begun twice");
  state_ = next;
  status_ = response.status;
  for (const auto& [name, value] : response.headers) {
    if (name == kLeftOutHeader) left_out_ = value;
  }
  for (auto& header : headers_) response.headers.push_back(std::move(header));
}

awaitable<bool> HttpExchange::Send(std::string_view bytes) {
  const bool is_sent = co_await socket_.Write(bytes);
  if (is_sent) sent_ += bytes.size();
  co_return is_sent;
}

void HttpExchange::End(bool is_whole) {
  state_ = State::kEnded;
  is_whole_ = is_whole;
  socket_.OnLeave(nullptr);
}

}  // namespace fulmen
