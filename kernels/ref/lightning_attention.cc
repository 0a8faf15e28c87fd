#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {
namespace {

// One head's part of the memory, as lightning_attention.h lays it out.
struct HeadMemory {
  Matrix keys;  // [dim, kLightningBlock]
  float* panels;

  HeadMemory(float* data, int64_t dim)
      : keys(data, dim, kLightningBlock), panels(data + dim * kLightningBlock) {}

  int64_t dim() const { return keys.rows; }
  float& State(int64_t d, int64_t e) const {
    const int64_t first = e / kStatePanel * kStatePanel;
    const int64_t columns = std::min(kStatePanel, dim() - first);
    return panels[first * (dim() + kLightningBlock) + d * columns + e - first];
  }
  float& Value(int64_t token, int64_t e) const { return State(dim() + token, e); }
};

float Activated(float x) { return static_cast<float>(double{x} / (1.0 + std::exp(-double{x}))); }

// Takes in the keys and values of the token at `offset` of its block.
void Store(const float* k, const float* v, int64_t offset, const HeadMemory& memory) {
  for (int64_t d = 0; d < memory.dim(); ++d) {
    memory.keys.row(d)[offset] = Activated(k[d]);
    memory.Value(offset, d) = Activated(v[d]);
  }
}

// The output of the token at `offset`, the last that was stored; `begun`: there are blocks before.
void Read(const float* q, double decay, int64_t offset, bool begun, const HeadMemory& memory,
          float* out) {
  const int64_t dim = memory.dim();
  std::vector<double> sums(static_cast<size_t>(dim));
  // Row d of the state, or behind it of the values.
  const auto add = [&](double factor, int64_t d) {
    for (int64_t e = 0; e < dim; ++e) {
      sums[static_cast<size_t>(e)] += factor * double{memory.State(d, e)};
    }
  };
  const double since = std::exp(-decay * static_cast<double>(offset + 1));
  for (int64_t d = 0; begun && d < dim; ++d) {
    add(since * double{Activated(q[d])}, d);
  }
  for (int64_t j = 0; j <= offset; ++j) {
    double score = 0;
    for (int64_t d = 0; d < dim; ++d) score += double{Activated(q[d])} * memory.keys.row(d)[j];
    add(score * std::exp(-decay * static_cast<double>(offset - j)), dim + j);
  }
  std::transform(sums.begin(), sums.end(), out, [](double x) { return static_cast<float>(x); });
}

// Element (d, e) of the state after `tokens` tokens of the block, handed to `put`, which may write
// it into the memory.
template <class Put>
void StateAfter(double decay, int64_t tokens, bool begun, const HeadMemory& memory,
                const Put& put) {
  const int64_t dim = memory.dim();
  const auto keep = [decay](int64_t n) { return std::exp(-decay * static_cast<double>(n)); };
  for (int64_t d = 0; d < dim; ++d) {
    for (int64_t e = 0; e < dim; ++e) {
      double sum = begun ? keep(tokens) * double{memory.State(d, e)} : 0.0;
      for (int64_t j = 0; j < tokens; ++j) {
        sum += keep(tokens - 1 - j) * double{memory.keys.row(d)[j]} * double{memory.Value(j, e)};
      }
      put(d, e, static_cast<float>(sum));
    }
  }
}

// One head of one slice: q | k | v in `qkv` [T, 3 * dim], out [T, dim].
void Head(ConstMatrix qkv, double decay, int64_t position, const HeadMemory& memory, Matrix out) {
  const int64_t dim = out.cols;
  for (int64_t t = 0; t < qkv.rows; ++t) {
    const int64_t offset = (position + t) % kLightningBlock;
    const bool begun = position + t >= kLightningBlock;
    const float* q = qkv.row(t);
    Store(q + dim, q + 2 * dim, offset, memory);
    Read(q, decay, offset, begun, memory, out.row(t));
    if (offset == kLightningBlock - 1) {
      StateAfter(decay, kLightningBlock, begun, memory,
                 [&](int64_t d, int64_t e, float value) { memory.State(d, e) = value; });
    }
  }
}

}  // namespace

void LightningAttention(KernelContext&, ConstMatrix qkv, std::span<const float> decay,
                        const Slices& slices, std::span<float* const> memory, Matrix out) {
  const auto heads = static_cast<int64_t>(decay.size());
  CheckLightning(qkv, heads, slices, memory, out);
  const int64_t dim = out.cols / heads;
  const int64_t size = LightningMemorySize(1, dim);
  for (int64_t s = 0; s < slices.count(); ++s) {
    std::vector<float> own;
    float* data = memory[static_cast<size_t>(s)];
    if (data == nullptr) {
      own.resize(static_cast<size_t>(heads * size));
      data = own.data();
    }
    const ConstMatrix inputs = qkv.Rows(slices.first(s), slices.rows(s));
    const Matrix outputs = out.Rows(slices.first(s), slices.rows(s));
    for (int64_t h = 0; h < heads; ++h) {
      Head(inputs.Cols(h * 3 * dim, 3 * dim), decay[static_cast<size_t>(h)], slices.position(s),
           HeadMemory(data + h * size, dim), outputs.Cols(h * dim, dim));
    }
  }
}

void LightningState(KernelContext&, std::span<const float> decay, int64_t position,
                    const float* memory, Matrix state) {
  const int64_t dim = state.cols;
  const int64_t size = LightningMemorySize(1, dim);
  for (int64_t h = 0; h < std::ssize(decay); ++h) {
    std::vector<float> head(memory + h * size, memory + (h + 1) * size);
    StateAfter(decay[static_cast<size_t>(h)], position % kLightningBlock,
               position >= kLightningBlock, HeadMemory(head.data(), dim),
               [&](int64_t d, int64_t e, float value) { state.row(h * dim + d)[e] = value; });
  }
}

}  // namespace fulmen::ref
