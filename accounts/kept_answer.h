// Answers that are kept for who asks again with the same idempotency key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "accounts/sql.h"
#include "base/status.h"

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

// What follows runs in a transaction.

// A request begins whose answer is to be kept. kConflict where one of this name is there.
Status BeginAnswer(Sql& sql, const std::string& request, const AnswerName& name, int64_t now);
// The request has been answered.
void WriteAnswer(Sql& sql, const std::string& request, const KeptAnswer& answer);
// The request has ended: where nothing was written, the name is free again.
void EndAnswer(Sql& sql, const std::string& request);
std::optional<KeptAnswer> ReadAnswer(Sql& sql, const AnswerName& name, int64_t now);

}  // namespace fulmen
