// Runs programs as a user would, for tests of commands.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fulmen::testing {

struct ProgramOptions {
  // Written to standard input, which is then closed.
  std::string input = {};
  // Each is waited for in the program's standard output or error, after the one before; when it
  // has been seen the program is sent the signal. Standard input stays open until the last was
  // sent.
  std::vector<std::string> interrupt_after = {};
  int interrupt_with = SIGINT;
  // The program and all it started are killed when this is over.
  std::chrono::milliseconds timeout{60'000};
  // Working directory; "" is the test's own.
  std::string folder = {};
  // Descriptors the program gets as standard output and error in place of the pipes that fill
  // ProgramResult; they stay the caller's.
  std::optional<int> out = {};
  std::optional<int> err = {};
};

struct ProgramResult {
  int exit_code = -1;      // -1 when a signal ended it
  int signal = 0;          // the signal that ended it, or 0
  bool timed_out = false;  // killed by us, see ProgramOptions::timeout
  std::string out;
  std::string err;
  // The most memory that it, or one of its children, held at a time; what the test itself holds
  // when it starts the program, at least.
  int64_t peak_bytes = 0;
};

// Runs `command` (found through PATH unless it has a slash) with its arguments to its end. A
// program that cannot be started is a broken test and stops it.
ProgramResult RunProgram(const std::vector<std::string>& command,
                         const ProgramOptions& options = {});

// Runs `command` as that many ranks under mpirun, wherever the test runs: as root, in a
// container, on fewer processors than ranks.
ProgramResult RunRanks(int ranks, std::vector<std::string> command,
                       const ProgramOptions& options = {});

// Path of the fulmen binary of this build.
std::string FulmenBinary();

// RunProgram on the fulmen binary: RunFulmen({"inspect", folder}).
ProgramResult RunFulmen(std::vector<std::string> arguments, const ProgramOptions& options = {});

}  // namespace fulmen::testing
