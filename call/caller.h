// Asks a server for an answer, again where another try may do.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "call/api.h"
#include "call/call_error.h"
#include "call/reply.h"
#include "call/request.h"
#include "call/web_client.h"

namespace fulmen {

struct CallTarget {
  Api api = Api::kOpenai;
  std::string url = {};  // that CheckUrl gave
  std::string key = {};  // "" for none; sent to this address alone
};

struct CallRetries {
  int most = 2;
  std::chrono::milliseconds first_pause{500};      // doubled each time
  std::chrono::milliseconds longest_wait{60'000};  // that a server may ask for, else it is given up
};

struct CallHooks {
  ReplyReader::OnPiece on_piece;
  // Before the wait for another try.
  std::function<void(const CallError&, std::chrono::milliseconds pause)> on_retry;
  std::function<bool()> stopped;  // ends everything, with kCancelled
};

// For one thread.
class ApiCaller {
 public:
  ApiCaller(CallTarget target, CallRetries retries, CallHooks hooks);

  // What is sent, with the key masked: for people to read.
  Json Shown(const CallRequest& request) const;
  // Once a piece of the answer has been handed on nothing is tried again.
  CallResult<Reply> Ask(const CallRequest& request);
  // The first model that the server lists.
  CallResult<std::string> FirstModel();

 private:
  // `once` tries it, and may then be called again; `asked` is how long the server asks to wait.
  struct Try {
    CallError error;
    std::optional<std::chrono::milliseconds> asked = {};
  };
  template <class T>
  using TryResult = tl::expected<T, Try>;
  template <class T>
  CallResult<T> Repeat(const std::function<TryResult<T>()>& once);
  TryResult<Reply> AskOnce(const WebRequest& request);
  // The reply of a request that succeeded.
  TryResult<WebReply> SendOnce(const WebRequest& request,
                               const std::function<Status(std::string_view)>& on_event_bytes);
  bool Pause(std::chrono::milliseconds pause) const;

  const CallTarget target_;
  const CallRetries retries_;
  const CallHooks hooks_;
  WebClient http_;
};

}  // namespace fulmen
