// The exchange that routes see, over the socket of a connection.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http.h"
#include "serve/http_head.h"
#include "serve/http_socket.h"

namespace fulmen {

class HttpExchange final : public Exchange {
 public:
  // The socket must outlive it. `keep_alive`: the connection goes on after the answer. `headers`
  // are added to the answer's.
  HttpExchange(HttpSocket& socket, HttpRequest request, bool keep_alive,
               std::vector<std::pair<std::string, std::string>> headers);
  ~HttpExchange() override;

  boost::asio::awaitable<void> Respond(HttpResponse response) override;
  boost::asio::awaitable<bool> BeginStream(HttpResponse head) override;
  boost::asio::awaitable<bool> Write(std::string_view piece) override;
  boost::asio::awaitable<void> EndStream() override;
  boost::asio::awaitable<bool> Interim(int status) override;
  void OnLeave(std::function<void()> leave) override;

  bool has_begun() const { return state_ != State::kNothing; }
  bool has_ended() const { return state_ == State::kEnded; }
  bool has_left() const { return socket_.has_left(); }
  // Of the answer, once it has ended.
  bool keep_alive() const { return keep_alive_; }
  bool is_whole() const { return is_whole_; }
  int status() const { return status_; }  // 0 before it has begun
  size_t sent() const { return sent_; }   // bytes
  const std::string& left_out() const { return left_out_; }
  void CloseAfterwards() { keep_alive_ = false; }

 private:
  enum class State : uint8_t { kNothing, kStream, kEnded };

  bool is_head() const { return request().method == "HEAD"; }
  void Begin(HttpResponse& response, State next);
  boost::asio::awaitable<bool> Send(std::string_view bytes);
  void End(bool is_whole);

  HttpSocket& socket_;
  bool keep_alive_;
  std::vector<std::pair<std::string, std::string>> headers_;
  State state_ = State::kNothing;
  HttpFraming framing_ = HttpFraming::kLength;
  bool is_cut_ = false;  // a piece of the stream was not sent, or not wanted
  bool is_whole_ = false;
  int status_ = 0;
  size_t sent_ = 0;
  std::string left_out_;
};

}  // namespace fulmen
