// What the metadata of a GGUF model of architecture minimax-01 says about its geometry and its
// tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "formats/gguf_model.h"
#include "model/config.h"

namespace fulmen {

// Untrusted input, checked as ParseConfig() does. The tensors say which layers are lightning
// (attn_qkv) and which softmax (attn_q), which metadata may not contradict; how large the
// vocabulary is, and whether there is a head. The format has no key for a residual before the norm,
// for beta, or for alphas that differ, so these are as in the released models.
Result<Config> ConfigFromGguf(const GgufModel& model);

// tokenizer.ggml.suppress_tokens, ids that must never be produced, sorted; those of no token are
// errors.
Result<std::vector<int32_t>> SuppressedIds(const GgufModel& model, int64_t vocab_size);

}  // namespace fulmen
