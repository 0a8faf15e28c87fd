// For every option of every command, two command lines that differ in little else.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace fulmen::testing {

// The words after the command are separated by spaces. Each line runs in a folder of its own,
// beside the folder "in" with what is read; in it is the folder "used", which is not empty: it has
// a session store (stored_sessions.h) of its own.
struct Effect {
  std::string option;
  std::string one;         // may end with status 1
  std::string other;       // ends with status 0
  std::string input = {};  // standard input of both
  std::string shown = {};  // where they differ in more: what only the other prints
};

using Effects = std::vector<Effect>;

inline void Append(Effects& effects, const Effects& more) {
  effects.insert(effects.end(), more.begin(), more.end());
}

Effects PullEffects();
// By command, as AllEffects.
std::map<std::string, Effects> EvalEffects();
// Those of training on pictures, for `train` and `train data`.
Effects VisionEffects();
Effects ImageDataEffects();
// Those of sampling; `base` is a command line that leaves the length open.
Effects SamplingEffects(const std::string& base);

// What shows in output, files or exit status, by command.
std::map<std::string, Effects> AllEffects();

// A command line for an option that shows in how the program runs rather than in what it gives.
struct Measured {
  std::string command;
  std::string option;
  std::string words;
};

// Two command lines, the second of which takes less memory.
struct MemoryEffect {
  std::string command;
  std::string option;
  std::string more;
  std::string less;
};

// Each starts as many threads as it is told.
std::vector<Measured> ThreadEffects();

// Each, where it has --quiet, then starts no thread to tell of its progress.
std::vector<Measured> QuietEffects();

// Each says what it does unless told to be quiet.
std::vector<Measured> TalkEffects();

// Each computes with the kernels it is told.
std::vector<Measured> KernelEffects();

// Each holds less memory where activations are computed again; the words end before the value.
std::vector<MemoryEffect> MemoryEffects();

}  // namespace fulmen::testing
