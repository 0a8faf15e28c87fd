// The vision half of a TinyGguf, to be spoilt.
#pragma once

#include <string>
#include <vector>

#include "model/testing/tiny_gguf.h"

namespace fulmen::testing {

inline void Flag(TinyGguf& file, const std::string& key, bool value) {
  file.metadata[key] = {GgufType::kBool, Bytes(static_cast<uint8_t>(value))};
}
inline void Floats(TinyGguf& file, const std::string& key, const std::vector<float>& values) {
  std::string list = Bytes(static_cast<uint32_t>(GgufType::kFloat32)) +
                     Bytes(static_cast<uint64_t>(values.size()));
  for (const float value : values) list += Bytes(value);
  file.metadata[key] = {GgufType::kArray, list};
}

// A tower of one layer, which looks at tiles of two by two patches.
inline TinyGguf TinyMmproj() {
  TinyGguf file;
  file.metadata.clear();
  file.Text("general.architecture", "clip");
  file.Text("clip.projector_type", "minimax-vl-01");
  Flag(file, "clip.has_vision_encoder", true);
  Flag(file, "clip.use_gelu", true);
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"image_size", 28},
                                                                  {"patch_size", 14},
                                                                  {"embedding_length", 64},
                                                                  {"feed_forward_length", 96},
                                                                  {"block_count", 1},
                                                                  {"attention.head_count", 2},
                                                                  {"projection_dim", 32}}) {
    file.Number("clip.vision." + key, value);
  }
  file.Number("clip.vision.attention.layer_norm_epsilon", 1e-6F);
  file.Numbers("clip.vision.image_grid_pinpoints", {28, 28, 28, 56});
  file.Text("clip.vision.mm_patch_merge_type", "spatial_unpad");
  Floats(file, "clip.vision.image_mean", {0.5F, 0.25F, 0.125F});
  Floats(file, "clip.vision.image_std", {1, 2, 4});
  file.Number("minimax-vl-01.image_token_id", uint32_t{19});
  file.tensors = {{"v.class_embd", {{64}}},
                  {"v.patch_embd.weight", {{14, 14, 3, 64}}},
                  {"v.position_embd.weight", {{64, 5}}},
                  {"v.image_newline", {{32}}},
                  {"mm.0.weight", {{64, 32}}},
                  {"mm.0.bias", {{32}}},
                  {"mm.2.weight", {{32, 32}}},
                  {"mm.2.bias", {{32}}},
                  {"v.blk.0.ffn_up.weight", {{64, 96}}},
                  {"v.blk.0.ffn_up.bias", {{96}}},
                  {"v.blk.0.ffn_down.weight", {{96, 64}}},
                  {"v.blk.0.ffn_down.bias", {{64}}}};
  for (const char* norm : {"v.pre_ln", "v.blk.0.ln1", "v.blk.0.ln2"}) {
    file.tensors[std::string(norm) + ".weight"] = {{64}};
    file.tensors[std::string(norm) + ".bias"] = {{64}};
  }
  for (const char* matrix : {"attn_q", "attn_k", "attn_v", "attn_out"}) {
    file.tensors[fmt::format("v.blk.0.{}.weight", matrix)] = {{64, 64}};
    file.tensors[fmt::format("v.blk.0.{}.bias", matrix)] = {{64}};
  }
  return file;
}

}  // namespace fulmen::testing
