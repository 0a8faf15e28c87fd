// The model that tests of training train.
#pragma once

#include "tests/testing/golden.h"
#include "train/training_config.h"

namespace fulmen::testing {

// Two layers, the second of them softmax.
inline ModelSection TinyModelSection() {
  ModelSection model;
  model.tokenizer = SourcePath("tests/golden/tokenizer/small");
  model.hidden_size = 32;
  model.layers = 2;
  model.softmax_every = 2;
  model.heads = 2;
  model.kv_heads = 1;
  model.head_dim = 16;
  model.rotary_dim = 8;
  model.experts = 4;
  model.intermediate_size = 16;
  return model;
}

}  // namespace fulmen::testing
