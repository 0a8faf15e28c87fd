// The operations a device offers, as one table: the model is written over these and nothing else.
// `ref` is the specification in plain C++; `cpu` is vectorised and picks its instruction set once.
//
// Dimensions, in all headers: T tokens, the rows of a batch; S sequences, or their slices in a
// batch; hidden, the width of the residual stream; heads, kv_heads, head_dim, rotary_dim; E experts
// of a layer, k of them for each token, ffn the width of one; layers; vocab; in and out of a
// product; C columns of any matrix.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "kernels/elementwise.h"
#include "kernels/lightning_attention.h"
#include "kernels/linear.h"
#include "kernels/moe.h"
#include "kernels/rope.h"
#include "kernels/softmax_attention.h"

namespace fulmen {

// Raised by whoever changes a bit that an operation of `cpu` gives: states that were kept before
// are those of another program then.
inline constexpr int kRoundings = 3;

struct Kernels {
  std::string name;  // "ref", or "cpu" with its instruction set: "cpu (AVX3_DL)"
  EmbeddingFn embedding = nullptr;
  RmsNormFn rms_norm = nullptr;
  GatedRmsNormFn gated_rms_norm = nullptr;
  LayerNormFn layer_norm = nullptr;
  AddBiasFn add_bias = nullptr;
  BiasGeluFn bias_gelu = nullptr;
  ResidualFn residual = nullptr;
  RowHealthFn row_health = nullptr;
  GatherRowsFn gather_rows = nullptr;
  CopyFn copy = nullptr;
  LinearFn linear = nullptr;
  LinearFn router_logits = nullptr;  // float32 whatever the precision of training
  RepackedBytesFn repacked_bytes = nullptr;
  RepackFn repack = nullptr;
  RopeFn rope = nullptr;
  LightningAttentionFn lightning_attention = nullptr;
  LightningStateFn lightning_state = nullptr;
  StoreKvFn store_kv = nullptr;
  SoftmaxAttentionFn softmax_attention = nullptr;
  BidirectionalAttentionFn bidirectional_attention = nullptr;
  TopKRouterFn top_k_router = nullptr;
  MoeFn moe = nullptr;
};

const Kernels& RefKernels();

// The best instruction set of this machine, or the one named by the environment variable
// FULMEN_CPU_TARGET (e.g. AVX2). Fails when that target is unknown or not available here, or when a
// kernel's answer to a small known problem differs from `ref` (a broken build or machine).
Result<const Kernels*> CpuKernels();

// "cpu", "ref", or "" for the environment variable FULMEN_KERNELS (itself defaulting to cpu).
Result<const Kernels*> SelectKernels(std::string_view name);

}  // namespace fulmen
