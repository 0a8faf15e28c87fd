// One request at a time over HTTP or HTTPS whose answer may be a stream. Redirects are not
// followed, so that a key reaches no other host than the one it was meant for.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "call/call_error.h"
#include "fetch/curl_handle.h"

namespace fulmen {

struct WebRequest {
  std::string url = {};
  std::vector<std::string> headers = {};  // "Name: value"
  std::optional<std::string> body = {};   // posted; else it is a GET
};

struct WebReply {
  int status = 0;
  bool stream = false;    // its body went to on_event_bytes
  std::string body = {};  // else it is here
  std::string location = {};
  std::optional<std::chrono::milliseconds> retry_after = {};
  std::optional<bool> should_retry = {};  // X-Should-Retry
};

// For one thread; it keeps the connection for the next request.
class WebClient {
 public:
  static constexpr size_t kMostBytes = size_t{64} << 20;  // of a body that is no stream

  // `stopped` is asked often while it waits; true ends a request with kCancelled.
  explicit WebClient(std::function<bool()> stopped);

  // The bytes of a body of server-sent events go to `on_event_bytes`, whose error ends the request
  // and is its error. Any status is an answer; an error is that there was none, or not all of it.
  CallResult<WebReply> Send(const WebRequest& request,
                            const std::function<Status(std::string_view)>& on_event_bytes);

  bool stopped() const { return stopped_(); }

 private:
  struct Transfer;
  void SetUp(const WebRequest& request, Transfer& transfer);

  const std::function<bool()> stopped_;
  CurlHandle curl_;
};

}  // namespace fulmen
