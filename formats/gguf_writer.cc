#include "formats/gguf_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <type_traits>

#include "base/check.h"
#include "formats/ggml_types.h"

namespace fulmen {
namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kAlignment = 32;  // of every tensor, unless the metadata says otherwise

size_t Padding(size_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

// The header's bytes. Numbers are little-endian, as this machine's are.
class HeaderText {
 public:
  template <class T>
  void Number(T value) {
    std::array<char, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    text_.append(bytes.data(), bytes.size());
  }
  void String(std::string_view value) {
    Number(uint64_t{value.size()});
    text_ += value;
  }
  void Raw(std::string_view bytes) { text_ += bytes; }
  void Pad() { text_.append(Padding(text_.size()), '\0'); }
  const std::string& text() const { return text_; }

  // A value with its type before it.
  void Value(const GgufMetadataValue& value) {
    std::visit([this](const auto& held) { Typed(held); }, value);
  }

 private:
  void Type(GgufType type) { Number(static_cast<uint32_t>(type)); }

  template <class T>
  static constexpr GgufType TypeOf() {
    if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kUint32;
    if constexpr (std::is_same_v<T, int32_t>) return GgufType::kInt32;
    if constexpr (std::is_same_v<T, float>) return GgufType::kFloat32;
    if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
    if constexpr (std::is_same_v<T, std::string>) return GgufType::kString;
    if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kUint64;
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
  void Typed(const GgufValue& value) {
    if (value.array) Type(GgufType::kArray);
    Type(value.type);
    if (value.array) Number(uint64_t{value.size});
    for (const std::string_view text : value.strings) String(text);
    text_.append(reinterpret_cast<const char*>(value.fixed.data()), value.fixed.size());
  }
  template <class T>
  void Typed(const std::vector<T>& values) {
    Type(GgufType::kArray);
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
  header.Raw(kGgufMagic);
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
    const std::optional<uint32_t> type = GgmlTypeId(tensor.dtype);
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

Status GgufWriter::Flush() {
  FULMEN_TRY(EndTensors());
  return file_.Flush();
}

Status GgufWriter::Finish() {
  FULMEN_TRY(EndTensors());
  FULMEN_CHECK(tensor_ == sizes_.size(), "{} of {} tensors were written", tensor_, sizes_.size());
  return file_.Commit();
}

}  // namespace fulmen
