// The models that end-to-end tests train.
#pragma once

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

}  // namespace fulmen::testing
