// A small model in GGUF, to be spoilt.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file_io.h"
#include "formats/testing/gguf_builder.h"

namespace fulmen::testing {

// As ggml numbers its types.
inline constexpr uint32_t kGgmlF16 = 1;
inline constexpr uint32_t kGgmlQ80 = 8;
inline constexpr uint32_t kGgmlI16 = 25;

// Entries and tensors of a model of one lightning and one softmax layer, by name.
struct TinyGguf {
  struct Entry {
    GgufType type;
    std::string value;
  };
  struct Tensor {
    std::vector<uint64_t> dims;  // the row first
    uint32_t type = 0;           // of ggml
    size_t bytes_per_row = 0;    // 0: of F32
  };
  std::map<std::string, Entry> metadata;
  std::map<std::string, Tensor> tensors;

  TinyGguf() {
    Text("general.architecture", "minimax-01");
    for (const auto& [key, value] : std::map<std::string, uint32_t>{{"block_count", 2},
                                                                    {"context_length", 64},
                                                                    {"embedding_length", 32},
                                                                    {"feed_forward_length", 96},
                                                                    {"attention.head_count", 4},
                                                                    {"attention.head_count_kv", 2},
                                                                    {"attention.key_length", 16},
                                                                    {"attention.value_length", 16},
                                                                    {"rope.dimension_count", 8},
                                                                    {"expert_count", 3},
                                                                    {"expert_used_count", 2}}) {
      Number("minimax-01." + key, value);
    }
    Number("minimax-01.rope.freq_base", 10000.0F);
    Number("minimax-01.attention.layer_norm_rms_epsilon", 1e-6F);
    Number("minimax-01.residual_scale", 3.5F);
    tensors = {{"token_embd.weight", {{32, 20}}},      {"output_norm.weight", {{32}}},
               {"output.weight", {{32, 20}}},          {"blk.0.attn_qkv.weight", {{32, 192}}},
               {"blk.0.attn_gate.weight", {{32, 64}}}, {"blk.0.attn_norm_2.weight", {{64}}},
               {"blk.1.attn_q.weight", {{32, 64}}},    {"blk.1.attn_k.weight", {{32, 32}}},
               {"blk.1.attn_v.weight", {{32, 32}}}};
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      tensors[layer + "attn_norm.weight"] = {{32}};
      tensors[layer + "attn_output.weight"] = {{64, 32}};
      tensors[layer + "ffn_norm.weight"] = {{32}};
      tensors[layer + "ffn_gate_inp.weight"] = {{32, 3}};
      tensors[layer + "ffn_gate_exps.weight"] = {{32, 96, 3}};
      tensors[layer + "ffn_up_exps.weight"] = {{32, 96, 3}};
      tensors[layer + "ffn_down_exps.weight"] = {{96, 32, 3}};
    }
  }

  void Text(const std::string& key, const std::string& value) {
    metadata[key] = {GgufType::kString, GgufString(value)};
  }
  void Number(const std::string& key, uint32_t value) {
    metadata[key] = {GgufType::kUint32, Bytes(value)};
  }
  void Number(const std::string& key, float value) {
    metadata[key] = {GgufType::kFloat32, Bytes(value)};
  }
  void Numbers(const std::string& key, const std::vector<int32_t>& values) {
    std::string list = Bytes(static_cast<uint32_t>(GgufType::kInt32)) +
                       Bytes(static_cast<uint64_t>(values.size()));
    for (const int32_t value : values) list += Bytes(value);
    metadata[key] = {GgufType::kArray, list};
  }

  // Values of F32 tensors count up, those of others are zero.
  void Write(const std::string& path) const {
    GgufBuilder builder;
    for (const auto& [key, entry] : metadata) builder.Entry(key, entry.type, entry.value);
    std::string data;
    float next = 1;
    for (const auto& [name, tensor] : tensors) {
      data.resize((data.size() + 31) / 32 * 32);
      builder.Tensor(name, tensor.dims, tensor.type, data.size());
      uint64_t rows = 1;
      for (size_t i = 1; i < tensor.dims.size(); ++i) rows *= tensor.dims[i];
      data.append(rows * tensor.bytes_per_row, '\0');
      for (uint64_t i = 0; tensor.bytes_per_row == 0 && i < rows * tensor.dims[0]; ++i) {
        data += Bytes(next++);
      }
    }
    FULMEN_CHECK(WriteFileAtomically(path, builder.Data(data).File()), "cannot write {}", path);
  }
};

}  // namespace fulmen::testing
