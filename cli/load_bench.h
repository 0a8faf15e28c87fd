// `fulmen bench --load`: the engine under an invented load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/session.h"

namespace fulmen {

struct LoadSettings {
  int64_t clients = 8;              // that ask again when they have their answer
  std::optional<double> rate;       // or requests per second, whose times are a Poisson process
  std::optional<int64_t> requests;  // in all; four of each client where it is not said
  std::vector<int64_t> prompts = {512};   // tokens of a prompt: one of these each time
  std::vector<int64_t> generated = {64};  // tokens of an answer
  int64_t shared = 0;        // of the prompt's tokens, the same first ones in every prompt
  int64_t turns = 1;         // of a conversation, whose prompts hold all that was said before
  double think_seconds = 0;  // between an answer and the next turn, on average
  uint64_t seed = 1;         // of tokens, lengths and times
  std::string schema;        // a file: answers are held to this JSON Schema
  bool json = false;
  bool quiet = false;
};

// --load and the options that need it, of `fulmen bench`.
void AddLoadOptions(Command& command, LoadSettings& settings, bool& load);

// Runs it and prints what it measured.
Status BenchLoad(Session& session, const LoadSettings& settings);

}  // namespace fulmen
