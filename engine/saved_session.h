// A conversation as it is kept: its messages, and the exact token ids they became.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/chat.h"

namespace fulmen {

// What one turn added. An answer's ids are those that were sampled: a text that is encoded again
// may come out as others.
struct SavedTurn {
  Json messages = Json::array();  // as in the OpenAI API, say a user's and an assistant's
  int64_t kept = 0;               // first tokens of the sequence before the turn that stay
  std::vector<int32_t> ids;       // those that follow them
  int64_t answer = 0;             // where in the sequence after the turn its answer begins
  std::string address;            // AnswerAddress of the answer; the store fills it in
  Json info = nullptr;            // an object with what was told of the answer, say its usage

  std::span<const int32_t> answer_ids() const {
    return std::span(ids).subspan(static_cast<size_t>(answer - kept));
  }
  bool operator==(const SavedTurn&) const = default;
};

// What a client notes of a session, by name.
using Metadata = std::map<std::string, std::string>;

struct SavedSession {
  std::string space;  // its namespace: names are unique within one, and "" is one like any other
  std::string name;
  std::string model;  // tells the model of the ids from all others, say a hash of its files
  std::optional<ChatFormat> format;
  std::string system;
  // Seconds since 1970.
  int64_t created = 0;
  int64_t used = 0;
  std::optional<int64_t> expires;
  std::vector<SavedTurn> turns;
  Metadata metadata = {};

  // The whole sequence, as it is after the last turn.
  std::vector<int32_t> Ids() const;
  // Those of all turns, in order; the system text is not among them.
  Json Messages() const;
  bool operator==(const SavedSession&) const = default;
};

// Whether a session may have this name: 1 to 200 bytes of UTF-8 that all print, without "/". A
// namespace may be empty, too. The errors say so.
Status CheckSessionName(std::string_view name);
Status CheckSessionSpace(std::string_view space);
// The limits of the OpenAI API: at most 16 pairs, names of 1 to 64 characters, values of up to 512.
Status CheckMetadata(const Metadata& metadata);
// Whether `turn` can follow a sequence of `tokens` tokens. The error reads on after the turn's
// name: "kept should be ...".
Status CheckTurn(const SavedTurn& turn, int64_t tokens);
// All of it. Such a session can be stored, and written as a file.
Status CheckSession(const SavedSession& session);

// Names exactly these ids of an answer, within a namespace and a model: "ft_" and 43 letters,
// digits, - and _. Nobody can find another answer of the same address.
std::string AnswerAddress(std::string_view space, std::string_view model,
                          std::span<const int32_t> ids);

}  // namespace fulmen
