#include "formats/gguf_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <type_traits>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kAlignment = 32;  // of every tensor, unless the metadata says otherwise

size_t Padding(size_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

// The container's numbers of what a value may be.
enum class ValueType : uint32_t {
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
};

// ggml's numbers of element types.
std::optional<uint32_t> TensorType(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ5_0:
      return 6;
    case DType::kQ5_1:
      return 7;
    case DType::kQ8_0:
      return 8;
    case DType::kQ2_K:
      return 10;
    case DType::kQ3_K:
      return 11;
    case DType::kQ4_K:
      return 12;
    case DType::kQ5_K:
      return 13;
    case DType::kQ6_K:
      return 14;
    case DType::kIQ4_NL:
      return 20;
    case DType::kIQ4_XS:
      return 23;
    case DType::kI8:
      return 24;
    case DType::kI16:
      return 25;
    case DType::kI32:
      return 26;
    case DType::kI64:
      return 27;
    case DType::kF64:
      return 28;
    case DType::kBF16:
      return 30;
    default:
      return std::nullopt;
  }
}

// The header's bytes. Numbers are little-endian, as this machine's are.
class HeaderText {
 public:
  template <class T>
  void Number(T value) {
    std::array<char, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    text_.append(bytes.data(), bytes.size());
  }
  void String(const std::string& value) {
    Number(uint64_t{value.size()});
    text_ += value;
  }
  void Pad() { text_.append(Padding(text_.size()), '\0'); }
  const std::string& text() const { return text_; }

  // A value with its type before it.
  void Value(const GgufMetadataValue& value) {
    std::visit([this](const auto& held) { Typed(held); }, value);
  }

 private:
  void Type(ValueType type) { Number(static_cast<uint32_t>(type)); }

  template <class T>
  static constexpr ValueType TypeOf() {
    if constexpr (std::is_same_v<T, uint32_t>) return ValueType::kUint32;
    if constexpr (std::is_same_v<T, int32_t>) return ValueType::kInt32;
    if constexpr (std::is_same_v<T, float>) return ValueType::kFloat32;
    if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
    if constexpr (std::is_same_v<T, std::string>) return ValueType::kString;
    if constexpr (std::is_same_v<T, uint64_t>) return ValueType::kUint64;
  }

  void Untyped(const std::string& value) { String(value); }
  template <class T>
  void Untyped(const T& value) {
    Number(value);
  }

  template <class T>
  void Typed(const T& value) {
    Type(TypeOf<T>());
    Untyped(value);
  }
  template <class T>
  void Typed(const std::vector<T>& values) {
    Type(ValueType::kArray);
    Type(TypeOf<T>());
    Number(uint64_t{values.size()});
    for (const T& value : values) Untyped(value);
  }

  std::string text_;
};

}  // namespace

Result<GgufWriter> GgufWriter::Create(const std::string& path, const GgufMetadata& metadata,
                                      const std::vector<Declaration>& tensors) {
  HeaderText header;
  header.Number(std::array<char, 4>{'G', 'G', 'U', 'F'});
  header.Number(kVersion);
  header.Number(uint64_t{tensors.size()});
  header.Number(uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    header.String(key);
    header.Value(value);
  }
  std::vector<size_t> sizes;
  uint64_t offset = 0;
  for (const Declaration& tensor : tensors) {
    const std::optional<uint32_t> type = TensorType(tensor.dtype);
    if (!type) {
      return Fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" is of type {}, which GGUF lacks",
                  path, tensor.name, DTypeName(tensor.dtype));
    }
    header.String(tensor.name);
    header.Number(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      header.Number(static_cast<uint64_t>(tensor.shape[i]));
    }
    header.Number(*type);
    header.Number(offset);
    sizes.push_back(BytesOf(tensor.dtype, ElementCount(tensor.shape)));
    offset += sizes.back() + Padding(sizes.back());
  }
  header.Pad();
  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  FULMEN_TRY(file.Write(header.text()));
  return GgufWriter(std::move(file), std::move(sizes));
}

Status GgufWriter::EndTensors() {
  constexpr std::array<std::byte, kAlignment> zeros = {};
  while (tensor_ < sizes_.size() && written_ == sizes_[tensor_]) {
    FULMEN_TRY(file_.Write(std::span(zeros).first(Padding(written_))));
    ++tensor_;
    written_ = 0;
  }
  return {};
}

Status GgufWriter::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    FULMEN_TRY(EndTensors());
    FULMEN_CHECK(tensor_ < sizes_.size(), "{} bytes after the last tensor", bytes.size());
    const size_t part = std::min(bytes.size(), sizes_[tensor_] - written_);
    FULMEN_TRY(file_.Write(bytes.first(part)));
    written_ += part;
    bytes = bytes.subspan(part);
  }
  return {};
}

Status GgufWriter::Finish() {
  FULMEN_TRY(EndTensors());
  FULMEN_CHECK(tensor_ == sizes_.size(), "{} of {} tensors were written", tensor_, sizes_.size());
  return file_.Commit();
}

}  // namespace fulmen
