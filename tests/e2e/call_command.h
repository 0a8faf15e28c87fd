// How tests run fulmen call: whoever runs the tests may have keys, and a conversation of their own.
#pragma once

#include <string>

#include "tests/testing/command_table.h"

namespace fulmen::testing {

// What goes before the program: no keys, and a folder for what is kept.
inline Words WithoutKeys(const std::string& state) {
  return {"env",
          "-u",
          "MINIMAX_API_KEY",
          "-u",
          "OPENAI_API_KEY",
          "-u",
          "ANTHROPIC_API_KEY",
          "XDG_STATE_HOME=" + state};
}

}  // namespace fulmen::testing
