// GGUF files for tests, whole or spoilt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace fulmen::testing {

template <class T>
std::string Bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

inline std::string GgufString(std::string_view text) {
  return Bytes<uint64_t>(text.size()).append(text);
}

// Puts a file together from metadata entries and tensors, whatever they say. The numbers that a
// test wants wrong are members.
class GgufBuilder {
 public:
  uint32_t version = 3;
  size_t alignment = 32;  // of where the data begins

  // `value` is what follows the type.
  GgufBuilder& Entry(std::string_view key, GgufType type, std::string_view value) {
    entries_ += GgufString(key) + Bytes(static_cast<uint32_t>(type)).append(value);
    ++entry_count_;
    return *this;
  }
  GgufBuilder& Text(std::string_view key, std::string_view value) {
    return Entry(key, GgufType::kString, GgufString(value));
  }
  GgufBuilder& Number(std::string_view key, uint32_t value) {
    return Entry(key, GgufType::kUint32, Bytes(value));
  }
  GgufBuilder& Number(std::string_view key, float value) {
    return Entry(key, GgufType::kFloat32, Bytes(value));
  }
  GgufBuilder& Texts(std::string_view key, const std::vector<std::string>& values) {
    std::string list = Bytes(static_cast<uint32_t>(GgufType::kString)) +
                       Bytes(static_cast<uint64_t>(values.size()));
    for (const std::string& value : values) list += GgufString(value);
    return Entry(key, GgufType::kArray, list);
  }
  GgufBuilder& Numbers(std::string_view key, const std::vector<int32_t>& values) {
    std::string list = Bytes(static_cast<uint32_t>(GgufType::kInt32)) +
                       Bytes(static_cast<uint64_t>(values.size()));
    for (const int32_t value : values) list += Bytes(value);
    return Entry(key, GgufType::kArray, list);
  }
  // `dims` as the container has them, the row first.
  GgufBuilder& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                      uint64_t offset) {
    tensors_ += GgufString(name) + Bytes(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) tensors_ += Bytes(dim);
    tensors_ += Bytes(type) + Bytes(offset);
    ++tensor_count_;
    return *this;
  }
  GgufBuilder& Data(std::string_view bytes) {
    data_ += bytes;
    return *this;
  }

  std::string File() const {
    std::string file(kGgufMagic);
    file += Bytes(version) + Bytes(tensor_count_) + Bytes(entry_count_) + entries_ + tensors_;
    if (!data_.empty()) file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

 private:
  std::string entries_;
  std::string tensors_;
  std::string data_;
  uint64_t entry_count_ = 0;
  uint64_t tensor_count_ = 0;
};

}  // namespace fulmen::testing
