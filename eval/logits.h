// Logits and, where asked, everything on the way to them, written as the golden files are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "eval/prompts.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

struct LogitsOptions {
  int64_t chunk = 512;  // tokens per forward call
  int64_t last = 0;     // logits of this many last positions; 0: of all
  DType kv_type = DType::kF32;
  bool hidden = false;
  bool state = false;
  bool experts = false;
};

// Runs every prompt from an empty state and writes `path` (safetensors): NAME.logits [T or last,
// vocab], of prompts with images NAME.ids [T] I64, and, as asked, NAME.hidden [layers + 1, T,
// hidden], NAME.state.L [heads, head_dim, head_dim], NAME.experts [layers, T, k] I32 and
// NAME.expert_weights [layers, T, k]. Logits are streamed to the disk; the rest is held for one
// prompt at a time. `progress` hears of tokens done. Once `cancel`, looked at between chunks, is
// true, nothing is written and the error is kCancelled.
Status WriteLogits(const Model& model, const Compute& compute,
                   const std::vector<NamedPrompt>& prompts, const LogitsOptions& options,
                   const std::string& path, const std::function<void(int64_t tokens)>& progress,
                   const std::atomic<bool>* cancel = nullptr);

}  // namespace fulmen
