// What a model remembers of one sequence: a KV cache that grows by pages in softmax layers, and a
// state of fixed size in lightning layers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/matrix.h"
#include "kernels/softmax_attention.h"
#include "model/config.h"

namespace fulmen {

// Owned by one sequence; not thread safe. Movable; Clone() where a copy is meant.
class SequenceState {
 public:
  static constexpr int64_t kPageTokens = 256;

  explicit SequenceState(const Config& config);
  SequenceState(SequenceState&&) = default;
  SequenceState& operator=(SequenceState&&) = default;
  // An independent copy: the sequence may go on in two ways.
  SequenceState Clone() const;

  // Tokens processed so far: the position of the next one.
  int64_t position() const { return position_; }
  void Advance(int64_t tokens) { position_ += tokens; }

  // S of lightning layer `layer`: [heads * head_dim, head_dim], float32.
  Matrix lightning(int64_t layer);

  // Stores keys and values [T, kv_heads * head_dim] of softmax layer `layer` at positions
  // position() .. position() + T - 1, growing the cache as needed.
  void StoreKv(int64_t layer, ConstMatrix keys, ConstMatrix values);
  KvPages kv(int64_t layer) const;

 private:
  SequenceState() = default;
  int64_t PageElements() const { return 2 * kv_heads_ * kPageTokens * head_dim_; }

  struct LayerState {
    std::vector<float> lightning;
    std::vector<std::unique_ptr<float[]>> pages;
    std::vector<const float*> page_pointers;
  };
  int64_t heads_ = 0;
  int64_t kv_heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t position_ = 0;
  std::vector<LayerState> layers_;
};

// Bytes one sequence needs per token (KV cache) and in all (lightning state).
int64_t KvBytesPerToken(const Config& config);
int64_t LightningStateBytes(const Config& config);

}  // namespace fulmen
