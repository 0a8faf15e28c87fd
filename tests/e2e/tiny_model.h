// The models that end-to-end tests make.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {

// Fields of [model] in a training config, besides its tokenizer.
constexpr const char* kTinyGeometry = R"(hidden_size = 32
layers = 2
softmax_every = 2
heads = 2
kv_heads = 1
head_dim = 16
rotary_dim = 8
experts = 4
intermediate_size = 32)";

// What makes of `fulmen synth` a model that reads images; its image token is the last of 300.
inline std::string TinyVision(const std::string& out, const std::string& type) {
  return out + " --type " + type +
         " --preset vl-small --layers 1 --softmax-every 1 --hidden 64 --heads 2 --kv-heads 1 "
         "--head-dim 32 --ffn 64 --experts 2 --top-k 1 --vocab 300 --quiet";
}

// A model of random weights that reads images, made once.
inline const std::string& VisionModel() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const ProgramResult made = RunFulmen(Split("synth " + TinyVision(folder / "vl", "BF16")));
    EXPECT_EQ(made.exit_code, 0) << made.err;
    return folder / "vl";
  }();
  return path;
}

}  // namespace fulmen::testing
