// Answers that are kept for who asks again with the same idempotency key.
#pragma once

#include <cstdint>
#include <string>

namespace fulmen {

struct AnswerName {
  std::string key;           // whose; no other finds it
  std::string name;          // that its owner gave it
  std::string request_hash;  // of what was asked
};

struct KeptAnswer {
  AnswerName name;
  bool is_whole = false;  // else its request is under way
  bool streams = false;   // its body is a stream of events, else JSON
  std::string body = {};
};

}  // namespace fulmen
