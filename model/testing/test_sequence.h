// What tests of sequences share.
#pragma once

#include "model/state.h"

namespace fulmen::testing {

// A sequence with a pool of its own, in which what is given back turns into NaN.
struct TestSequence {
  explicit TestSequence(const Config& config, DType kv_type = DType::kF32)
      : pool(config, {.kv_type = kv_type, .poison = true}), state(pool.Create().value()) {}

  StatePool pool;
  SequenceState state;
};

}  // namespace fulmen::testing
