// `fulmen serve` as its users have it: a process of its own, and a client of it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/testing/raw_client.h"
#include "tests/testing/command_table.h"

namespace fulmen::testing {

// Of the model that comes with Fulmen, computing with one thread unless told otherwise. Not thread
// safe but for asking.
class Served {
 public:
  // Starts it in `folder`, where its sessions are kept too, on a port that is free; returns once it
  // greets. `variables` are as in "NAME=value". A server that does not start is a failed test.
  explicit Served(const std::string& folder, Words options = {}, const Words& variables = {});
  ~Served();  // kills it
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  pid_t pid() const { return pid_; }
  uint16_t port() const { return port_; }
  std::string url() const { return url_; }
  // What it has said on standard error.
  std::string Err() const;

  // `line` is as "GET /v1/models", `headers` as "Name: value\r\n"; a Host is among the headers or
  // is added.
  std::string Request(std::string_view line, std::string_view body = "",
                      std::string_view headers = "") const;
  // A connection on which that request was sent.
  RawClient Open(std::string_view line, std::string_view body = "",
                 std::string_view headers = "") const;
  RawAnswer Ask(std::string_view line, std::string_view body = "",
                std::string_view headers = "") const;
  // The JSON of an answer with status 200.
  Json Get(const std::string& path, std::string_view headers = "") const;
  Json Post(const std::string& path, const Json& body, std::string_view headers = "") const;
  // A number of /metrics: the sum over its labels. Of all that begin so.
  double Metric(const std::string& name) const;

  void Signal(int signal) const;
  // How it ended, of itself or by this signal: its exit status, or 128 and the signal that killed
  // it.
  int Wait();
  int End(int signal);

 private:
  std::string err_path_;
  std::string url_;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

// The model that comes with Fulmen, as requests and bills name it.
inline constexpr const char* kServedModel = "fulmen-nano";
inline constexpr const char* kPostChat = "POST /v1/chat/completions";

// Headers of requests.
inline std::string Bearer(const std::string& secret) {
  return "Authorization: Bearer " + secret + "\r\n";
}
inline std::string IdempotencyKey(const std::string& key) {
  return "Idempotency-Key: " + key + "\r\n";
}

// One message of a user's, for /v1/chat/completions; the most probable answer.
Json ChatOf(const std::string& text, int max_tokens = 100);
// For /v1/completions: an answer of so many tokens.
Json LongText(int tokens, bool stream);

}  // namespace fulmen::testing
