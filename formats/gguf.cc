#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/file_kind.h"
#include "formats/ggml_types.h"

namespace fulmen {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian");

constexpr size_t kGgufMaxRank = 4;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;
constexpr const char* kAlignmentKey = "general.alignment";
// The shortest that entries can be: an empty key, a type and a byte; an empty name, no dimensions,
// a type and an offset.
constexpr size_t kLeastEntry = 8 + 4 + 1;
constexpr size_t kLeastTensor = 8 + 4 + 4 + 8;

// Bytes of one value; 0 for strings, arrays and what is no type.
size_t FixedSize(uint32_t type) {
  constexpr std::array<uint8_t, 13> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kSizes.size() ? kSizes[type] : 0;
}

template <class T>
T Load(std::span<const std::byte> bytes, size_t index = 0) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// Calls f(value) with a number or boolean of its own C++ type.
template <class F>
auto VisitFixed(const GgufValue& value, size_t index, const F& f) {
  switch (value.type) {
    case GgufType::kUint8:
      return f(Load<uint8_t>(value.fixed, index));
    case GgufType::kInt8:
      return f(Load<int8_t>(value.fixed, index));
    case GgufType::kUint16:
      return f(Load<uint16_t>(value.fixed, index));
    case GgufType::kInt16:
      return f(Load<int16_t>(value.fixed, index));
    case GgufType::kUint32:
      return f(Load<uint32_t>(value.fixed, index));
    case GgufType::kInt32:
      return f(Load<int32_t>(value.fixed, index));
    case GgufType::kFloat32:
      return f(Load<float>(value.fixed, index));
    case GgufType::kUint64:
      return f(Load<uint64_t>(value.fixed, index));
    case GgufType::kInt64:
      return f(Load<int64_t>(value.fixed, index));
    case GgufType::kFloat64:
      return f(Load<double>(value.fixed, index));
    default:
      return f(Load<uint8_t>(value.fixed, index) != 0);
  }
}

// Takes values off the front of the bytes. `context` is what is being read, for errors.
class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  size_t position() const { return position_; }
  size_t left() const { return file_.size() - position_; }

  template <class T>
  Result<T> Number(std::string_view context) {
    FULMEN_ASSIGN(const auto bytes, Take(sizeof(T), context));
    return Load<T>(bytes);
  }

  Result<std::span<const std::byte>> Take(uint64_t bytes, std::string_view context) {
    if (bytes > left()) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: {} needs {} bytes at byte {}, the file has {} left (torn file?)", where_,
                  context, bytes, position_, left());
    }
    const auto taken = file_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }

  Result<std::string_view> String(std::string_view context) {
    FULMEN_ASSIGN(const auto length, Number<uint64_t>(context));
    FULMEN_ASSIGN(const auto bytes, Take(length, context));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  // A number of things of at least `least` bytes each.
  Result<uint64_t> Count(size_t least, std::string_view context) {
    FULMEN_ASSIGN(const auto count, Number<uint64_t>(context));
    if (count > left() / least) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: {} is {}, the {} bytes left hold {} at most (torn file?)", where_, context,
                  count, left(), left() / least);
    }
    return count;
  }

 private:
  std::span<const std::byte> file_;
  const std::string& where_;
  size_t position_ = 0;
};

// Magic and version.
Result<uint32_t> ReadVersion(Reader& reader, std::span<const std::byte> file,
                             const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kGgufMagic)) {
    const std::string_view kind = FileKind(text);
    return Fail(ErrorCode::kCorrupt, "{}: expected a GGUF file, found {}", where,
                kind.empty() ? "another file" : kind);
  }
  FULMEN_TRY(reader.Take(kGgufMagic.size(), "the magic"));
  FULMEN_ASSIGN(const auto version, reader.Number<uint32_t>("the version"));
  if (version == 2 || version == 3) return version;
  if (version != 0 && (version & 0xffff) == 0) {
    return Fail(ErrorCode::kUnsupported,
                "{}: a GGUF file for big-endian machines is not supported; convert it anew for "
                "little-endian ones",
                where);
  }
  return Fail(ErrorCode::kUnsupported,
              "{}: version {} of GGUF is not supported, versions 2 and 3 are{}", where, version,
              version == 1 ? "; convert the model anew" : "");
}

Result<GgufValue> ReadElements(Reader& reader, uint32_t type, uint64_t count, bool array,
                               const std::string& context, const std::string& where) {
  GgufValue value;
  value.type = static_cast<GgufType>(type);
  value.array = array;
  value.size = count;
  if (value.type == GgufType::kString) {
    value.strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      FULMEN_ASSIGN(const std::string_view text, reader.String(context));
      value.strings.push_back(text);
    }
    return value;
  }
  FULMEN_ASSIGN(value.fixed, reader.Take(count * FixedSize(type), context));
  if (value.type == GgufType::kBool &&
      std::ranges::any_of(value.fixed, [](std::byte b) { return b > std::byte{1}; })) {
    return Fail(ErrorCode::kCorrupt, "{}: {} holds a boolean that is neither 0 nor 1", where,
                context);
  }
  return value;
}

Result<GgufValue> ReadValue(Reader& reader, const std::string& context, const std::string& where) {
  const auto known = [](uint32_t type) {
    return FixedSize(type) != 0 || type == static_cast<uint32_t>(GgufType::kString);
  };
  FULMEN_ASSIGN(uint32_t type, reader.Number<uint32_t>(context));
  const bool array = type == static_cast<uint32_t>(GgufType::kArray);
  uint64_t count = 1;
  if (array) {
    FULMEN_ASSIGN(type, reader.Number<uint32_t>(context));
    if (type == static_cast<uint32_t>(GgufType::kArray)) {
      return Fail(ErrorCode::kUnsupported, "{}: {} is an array of arrays, which is not supported",
                  where, context);
    }
  }
  if (!known(type)) {
    return Fail(ErrorCode::kCorrupt, "{}: {} has the unknown value type {}", where, context, type);
  }
  if (array) {
    const size_t least = FixedSize(type) != 0 ? FixedSize(type) : sizeof(uint64_t);
    FULMEN_ASSIGN(count, reader.Count(least, "the number of elements of " + context));
  }
  return ReadElements(reader, type, count, array, context, where);
}

Status ReadMetadata(Reader& reader, uint64_t count, const std::string& where, GgufHeader& header) {
  for (uint64_t i = 0; i < count; ++i) {
    FULMEN_ASSIGN(const std::string_view key,
                  reader.String(fmt::format("the key of metadata entry {}", i)));
    FULMEN_ASSIGN(GgufValue value, ReadValue(reader, fmt::format("metadata \"{}\"", key), where));
    if (!header.metadata.emplace(key, std::move(value)).second) {
      return Fail(ErrorCode::kCorrupt, "{}: metadata \"{}\" stands twice", where, key);
    }
  }
  return {};
}

Result<size_t> ReadAlignment(const GgufHeader& header, const std::string& where) {
  const GgufValue* value = header.Find(kAlignmentKey);
  if (value == nullptr) return size_t{kDefaultAlignment};
  const int64_t alignment = value->array ? 0 : value->Integer().value_or(0);
  if (alignment < 1 || alignment > kMaxAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return Fail(ErrorCode::kCorrupt, "{}: {} should be a power of two up to {}, found {}", where,
                kAlignmentKey, kMaxAlignment, Shown(value->ToJson()));
  }
  return static_cast<size_t>(alignment);
}

Result<DType> TypeOf(uint32_t id, std::string_view tensor, const std::string& where) {
  const GgmlType* known = FindGgmlType(id);
  if (known == nullptr) {
    return Fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" has the unknown type {}", where, tensor,
                id);
  }
  if (!known->instead.empty()) {
    return Fail(ErrorCode::kUnsupported,
                "{}: tensor \"{}\" has type {}, which is not supported; quantize to {} instead",
                where, tensor, known->name, known->instead);
  }
  return *DTypeFromName(known->name);
}

Result<Shape> ReadShape(Reader& reader, const std::string& context, const std::string& where) {
  FULMEN_ASSIGN(const auto rank, reader.Number<uint32_t>(context));
  if (rank > kGgufMaxRank) {
    return Fail(ErrorCode::kCorrupt, "{}: {} has {} dimensions, expected {} at most", where,
                context, rank, kGgufMaxRank);
  }
  Shape shape(rank);
  for (uint32_t i = 0; i < rank; ++i) {
    FULMEN_ASSIGN(const auto dimension, reader.Number<uint64_t>(context));
    if (dimension < 1 || dimension > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Fail(ErrorCode::kCorrupt, "{}: {} has a dimension of {}, expected 1 to 2^63 - 1",
                  where, context, dimension);
    }
    shape[rank - 1 - i] = static_cast<int64_t>(dimension);
  }
  return shape;
}

struct ListedTensor {
  std::string_view name;
  GgufTensor tensor;
  uint64_t offset;  // from where the data begins
  uint64_t bytes;
};

Result<ListedTensor> ReadTensor(Reader& reader, uint64_t index, const std::string& where) {
  ListedTensor listed = {};
  FULMEN_ASSIGN(listed.name, reader.String(fmt::format("the name of tensor {}", index)));
  const std::string context = fmt::format("tensor \"{}\"", listed.name);
  GgufTensor& tensor = listed.tensor;
  FULMEN_ASSIGN(tensor.shape, ReadShape(reader, context, where));
  FULMEN_ASSIGN(const auto type, reader.Number<uint32_t>(context));
  FULMEN_ASSIGN(tensor.dtype, TypeOf(type, listed.name, where));
  FULMEN_ASSIGN(listed.offset, reader.Number<uint64_t>(context));
  const BlockFormat& format = FormatOf(tensor.dtype);
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % format.elements != 0) {
    return Fail(ErrorCode::kCorrupt, "{}: {} of type {} has rows of {} elements, no multiple of {}",
                where, context, format.name, row, format.elements);
  }
  const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
  if (!bytes) {
    return Fail(ErrorCode::kCorrupt, "{}: {} of type {} and shape {} needs more than 2^63 bytes",
                where, context, format.name, ShapeString(tensor.shape));
  }
  listed.bytes = *bytes;
  return listed;
}

// Gives every tensor its place in the file, which has `data_size` bytes of data from `data_start`.
Status PlaceTensors(std::vector<ListedTensor>& tensors, size_t alignment, size_t data_start,
                    size_t data_size, const std::string& where) {
  std::ranges::sort(tensors, {}, &ListedTensor::offset);
  uint64_t end = 0;
  std::string_view before;
  for (ListedTensor& listed : tensors) {
    if (listed.offset % alignment != 0) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\" begins at data byte {}, expected a multiple of {}", where,
                  listed.name, listed.offset, alignment);
    }
    if (listed.offset > data_size || listed.bytes > data_size - listed.offset) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\" has {} bytes from data byte {} on, the file holds only {} "
                  "(torn file?)",
                  where, listed.name, listed.bytes, listed.offset, data_size);
    }
    if (listed.offset < end) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" begins at data byte {}, inside of \"{}\"",
                  where, listed.name, listed.offset, before);
    }
    end = listed.offset + listed.bytes;
    before = listed.name;
    listed.tensor.begin = data_start + listed.offset;
    listed.tensor.end = data_start + end;
  }
  return {};
}

}  // namespace

std::optional<int64_t> GgufValue::Integer(size_t index) const {
  if (type == GgufType::kString || index >= size) return std::nullopt;
  return VisitFixed(*this, index, [](auto value) -> std::optional<int64_t> {
    using T = decltype(value);
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, bool>) {
      return std::nullopt;
    } else {
      return std::in_range<int64_t>(value) ? std::optional(static_cast<int64_t>(value))
                                           : std::nullopt;
    }
  });
}

std::optional<std::string_view> GgufValue::String(size_t index) const {
  if (type != GgufType::kString || index >= size) return std::nullopt;
  return strings[index];
}

Json GgufValue::Element(size_t index) const {
  if (type == GgufType::kString) return Json(std::string(strings[index]));
  return VisitFixed(*this, index, [](auto value) { return Json(value); });
}

Json GgufValue::ToJson() const {
  if (!array) return Element(0);
  Json list = Json::array();
  for (size_t i = 0; i < size; ++i) list.push_back(Element(i));
  return list;
}

const GgufValue* GgufHeader::Find(std::string_view key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

Result<std::string_view> GgufHeader::FindString(std::string_view key,
                                                const std::string& where) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::string_view();
  if (!value->array && value->String()) return *value->String();
  return Fail(ErrorCode::kCorrupt, "{}: {} should be a string, found {}", where, key,
              value->array ? "an array" : Shown(value->ToJson()));
}

Result<GgufHeader> ParseGguf(std::span<const std::byte> file, const std::string& where) {
  Reader reader(file, where);
  GgufHeader header;
  FULMEN_ASSIGN(header.version, ReadVersion(reader, file, where));
  FULMEN_ASSIGN(const uint64_t count, reader.Count(kLeastTensor, "the number of tensors"));
  FULMEN_ASSIGN(const uint64_t entries,
                reader.Count(kLeastEntry, "the number of metadata entries"));
  FULMEN_TRY(ReadMetadata(reader, entries, where, header));
  FULMEN_ASSIGN(const size_t alignment, ReadAlignment(header, where));

  std::vector<ListedTensor> tensors;
  for (uint64_t i = 0; i < count; ++i) {
    FULMEN_ASSIGN(ListedTensor listed, ReadTensor(reader, i, where));
    tensors.push_back(std::move(listed));
  }
  // A file without tensors may end before its data would begin.
  const size_t header_end = reader.position();
  const size_t data_start =
      std::min((header_end + alignment - 1) / alignment * alignment, file.size());
  FULMEN_TRY(PlaceTensors(tensors, alignment, data_start, file.size() - data_start, where));
  for (ListedTensor& listed : tensors) {
    if (!header.tensors.emplace(listed.name, std::move(listed.tensor)).second) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" stands twice", where, listed.name);
    }
  }
  return header;
}

}  // namespace fulmen
