// Tools of a model, run by a program of the user's after the user agreed.
#pragma once

#include <string>

#include "base/status.h"
#include "call/reply.h"
#include "cli/interrupt.h"

namespace fulmen {

class ToolProgram {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 20;  // of a result

  // `ask`: whether each call is shown at the terminal first, and run only if the user says yes. The
  // guard must outlive it.
  ToolProgram(std::string program, bool ask, const InterruptGuard& interrupt)
      : program_(std::move(program)), ask_(ask), interrupt_(interrupt) {}

  // Runs `PROGRAM NAME` with the arguments, a JSON object, as its standard input; what it prints is
  // the result. A call that the user declines, or that fails, has a result that says so. Errors are
  // a program that cannot be run, nobody to ask, and an interrupt.
  Result<std::string> Run(const ReplyCall& call) const;

 private:
  Result<bool> Allowed(const ReplyCall& call) const;

  const std::string program_;
  const bool ask_;
  const InterruptGuard& interrupt_;
};

}  // namespace fulmen
