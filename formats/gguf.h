// The GGUF container of llama.cpp: typed metadata, a list of tensors, the tensors' bytes.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/tensor.h"

namespace fulmen {

// As the container numbers them.
enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// A value of the metadata: a number, a boolean, a string, or an array of these. Points into the
// bytes it was parsed from.
struct GgufValue {
  GgufType type = GgufType::kUint8;  // of the elements of an array; never kArray
  bool array = false;
  size_t size = 1;                        // elements of an array
  std::span<const std::byte> fixed;       // of all elements, unless strings
  std::vector<std::string_view> strings;  // else; any bytes

  // Element `index`; nullopt where there is none, or one of another kind, or an integer of 2^63 or
  // more.
  std::optional<int64_t> Integer(size_t index = 0) const;
  std::optional<std::string_view> String(size_t index = 0) const;
  // Element `index` < size, or the whole value, as JSON, whose strings need not be UTF-8.
  Json Element(size_t index) const;
  Json ToJson() const;
};

// `begin` and `end` are byte offsets from the start of the file.
struct GgufTensor {
  DType dtype = DType::kF32;
  Shape shape;  // as in other checkpoints, [out, in]: the reverse of what the container says
  size_t begin = 0;
  size_t end = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::map<std::string, GgufTensor, std::less<>> tensors;

  // nullptr where there is none.
  const GgufValue* Find(std::string_view key) const;
  // Of a value that should be a string; an empty one where there is none.
  Result<std::string_view> FindString(std::string_view key, const std::string& where) const;
};

inline constexpr std::string_view kGgufMagic = "GGUF";

// Parses untrusted bytes, the whole of a file. Every tensor of the result lies inside the file, at
// the file's alignment, in whole blocks of its type, and overlaps no other. Memory is bounded by
// what was read, not by what the file claims. `where` names the file in errors.
Result<GgufHeader> ParseGguf(std::span<const std::byte> file, const std::string& where);

}  // namespace fulmen
