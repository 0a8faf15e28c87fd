#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/file_kind.h"
#include "base/json.h"

namespace fulmen {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeader = 100'000'000;  // as the format's reference implementation
constexpr size_t kMaxRank = 32;

// Collects a header from the parser's events: anything that is not the one shape a header has stops
// the parse there, so hostile nesting or size costs nothing.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  struct RawEntry {
    std::string name;
    std::string dtype;
    Shape shape;
    std::vector<uint64_t> offsets;
    bool has_dtype = false;
    bool has_shape = false;
    bool has_offsets = false;
  };

  std::vector<RawEntry> entries;
  std::map<std::string, std::string> metadata;
  std::string problem;

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(int64_t) override { return Unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { return Unexpected("a fraction"); }
  bool binary(nlohmann::json::binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(uint64_t value) override {
    if (state_ == State::kOffsets && entry_.offsets.size() < 2) {
      entry_.offsets.push_back(value);
      return true;
    }
    if (state_ != State::kShape || entry_.shape.size() == kMaxRank ||
        value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Unexpected("a number");
    }
    entry_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(std::string& value) override {
    if (state_ == State::kMetadata) {
      if (metadata.emplace(key_, std::move(value)).second) return true;
      problem = fmt::format("__metadata__ \"{}\" stands twice", key_);
      return false;
    }
    if (state_ != State::kEntry || key_ != "dtype") return Unexpected("a string");
    entry_.dtype = std::move(value);
    return Once(entry_.has_dtype);
  }

  bool start_object(size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kTensors;
    } else if (state_ == State::kTensors && key_ == "__metadata__") {
      state_ = State::kMetadata;
      if (std::exchange(has_metadata_, true)) {
        problem = "__metadata__ stands twice in the header";
        return false;
      }
    } else if (state_ == State::kTensors) {
      state_ = State::kEntry;
      entry_ = RawEntry();
      entry_.name = key_;
    } else {
      return Unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::kTensors) {
      state_ = State::kEnd;
      return true;
    }
    if (state_ == State::kEntry) {
      if (!entry_.has_dtype || !entry_.has_shape || entry_.offsets.size() != 2) {
        problem = fmt::format("tensor \"{}\" lacks one of dtype, shape and two data_offsets",
                              entry_.name);
        return false;
      }
      entries.push_back(std::move(entry_));
    }
    state_ = State::kTensors;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kEntry && key_ == "shape") {
      state_ = State::kShape;
      return Once(entry_.has_shape);
    }
    if (state_ == State::kEntry && key_ == "data_offsets") {
      state_ = State::kOffsets;
      return Once(entry_.has_offsets);
    }
    return Unexpected("a list");
  }

  bool end_array() override {
    state_ = State::kEntry;
    return true;
  }

  bool key(std::string& value) override {
    key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem = fmt::format("the header is not valid JSON at its byte {}", position);
    return false;
  }

 private:
  enum class State { kStart, kTensors, kMetadata, kEntry, kShape, kOffsets, kEnd };

  bool Unexpected(std::string_view what) {
    switch (state_) {
      case State::kStart:
        problem = fmt::format("the header is {}, expected an object", what);
        break;
      case State::kTensors:
        problem = fmt::format("header entry \"{}\" is {}, expected an object", key_, what);
        break;
      case State::kMetadata:
        problem = fmt::format("__metadata__ \"{}\" is {}, expected a string", key_, what);
        break;
      case State::kShape:
        problem = fmt::format(
            "the shape of tensor \"{}\" holds {} where at most {} whole numbers "
            "below 2^63 are expected",
            entry_.name, what, kMaxRank);
        break;
      default:
        problem = fmt::format(
            "\"{}\" of tensor \"{}\" is or holds {}, expected dtype (a string), shape "
            "(a list of whole numbers) or data_offsets (two of them)",
            key_, entry_.name, what);
    }
    return false;
  }

  bool Once(bool& seen) {
    if (!std::exchange(seen, true)) return true;
    problem = fmt::format("tensor \"{}\" has \"{}\" twice", entry_.name, key_);
    return false;
  }

  State state_ = State::kStart;
  bool has_metadata_ = false;
  std::string key_;
  RawEntry entry_;
};

Result<SafetensorsEntry> CheckEntry(const HeaderReader::RawEntry& raw, size_t data_start,
                                    size_t data_size, const std::string& where) {
  const std::optional<DType> dtype = DTypeFromName(raw.dtype);
  if (!dtype || IsQuantized(*dtype)) {  // those have no spelling there
    return Fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" has the unknown type \"{}\"", where,
                raw.name, raw.dtype);
  }
  const uint64_t begin = raw.offsets[0];
  const uint64_t end = raw.offsets[1];
  if (begin > end) {
    return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" ends at byte {}, before its begin {}",
                where, raw.name, end, begin);
  }
  if (end > data_size) {
    return Fail(ErrorCode::kCorrupt,
                "{}: tensor \"{}\" ends at data byte {} but the file holds only {} (torn file?)",
                where, raw.name, end, data_size);
  }
  const std::optional<uint64_t> bytes = TensorBytes(*dtype, raw.shape);
  if (!bytes || *bytes != end - begin) {
    return Fail(ErrorCode::kCorrupt,
                "{}: tensor \"{}\" of type {} and shape {} needs {} bytes, its offsets span {}",
                where, raw.name, raw.dtype, ShapeString(raw.shape),
                bytes ? std::to_string(*bytes) : "more than 2^63", end - begin);
  }
  return SafetensorsEntry{*dtype, raw.shape, data_start + begin, data_start + end};
}

// The format demands that the tensors fill the file without holes or overlaps.
Status CheckTiling(std::vector<HeaderReader::RawEntry>& entries, size_t data_size,
                   const std::string& where) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  uint64_t end = 0;
  for (const HeaderReader::RawEntry& entry : entries) {
    if (entry.offsets[0] != end) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\" begins at data byte {}, expected {} (an {} in the data)",
                  where, entry.name, entry.offsets[0], end,
                  entry.offsets[0] < end ? "overlap" : "unclaimed hole");
    }
    end = entry.offsets[1];
  }
  if (end != data_size) {
    return Fail(ErrorCode::kCorrupt, "{}: the header describes {} bytes of data, the file holds {}",
                where, end, data_size);
  }
  return {};
}

}  // namespace

Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> start, size_t file_size,
                                                 const std::string& where) {
  if (file_size < kLengthBytes || start.size() < kLengthBytes) {
    return Fail(ErrorCode::kCorrupt,
                "{}: {} bytes is too short for a safetensors file (torn file?)", where,
                std::min(start.size(), file_size));
  }
  uint64_t length = 0;
  std::memcpy(&length, start.data(), kLengthBytes);
  if (length > kMaxHeader) {
    const auto kind = FileKind({reinterpret_cast<const char*>(start.data()), start.size()});
    if (!kind.empty()) {
      return Fail(ErrorCode::kCorrupt, "{}: not a safetensors file but {}", where, kind);
    }
    return Fail(ErrorCode::kCorrupt,
                "{}: not a safetensors file, its header would be {} bytes (at most {} allowed)",
                where, length, kMaxHeader);
  }
  if (length > std::min(start.size(), file_size) - kLengthBytes) {
    return Fail(ErrorCode::kCorrupt,
                "{}: a header of {} bytes does not fit the {} bytes after its length (torn file?)",
                where, length, std::min(start.size(), file_size) - kLengthBytes);
  }
  const size_t data_start = kLengthBytes + length;
  const std::string_view text(reinterpret_cast<const char*>(start.data()) + kLengthBytes, length);
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(text, &reader)) {
    return Fail(ErrorCode::kCorrupt, "{}: {}", where, reader.problem);
  }
  // The parser takes a NUL outside of strings for the end of its input.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Fail(ErrorCode::kCorrupt, "{}: the header is not valid JSON at its byte {}", where,
                nul + 1);
  }

  SafetensorsHeader header;
  header.metadata = std::move(reader.metadata);
  for (const HeaderReader::RawEntry& raw : reader.entries) {
    FULMEN_ASSIGN(SafetensorsEntry entry,
                  CheckEntry(raw, data_start, file_size - data_start, where));
    if (!header.tensors.emplace(raw.name, std::move(entry)).second) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" stands twice in the header", where,
                  raw.name);
    }
  }
  FULMEN_TRY(CheckTiling(reader.entries, file_size - data_start, where));
  return header;
}

Result<SafetensorsWriter> SafetensorsWriter::Create(
    const std::string& path, const std::vector<Declaration>& tensors,
    const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::vector<std::pair<const std::string, Json>>& members = header.get_ref<Json::object_t&>();
  size_t offset = 0;
  for (const Declaration& tensor : tensors) {
    const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
    FULMEN_CHECK(bytes.has_value(), "{} {}", tensor.name, ShapeString(tensor.shape));
    members.emplace_back(tensor.name, Json{{"dtype", DTypeName(tensor.dtype)},
                                           {"shape", tensor.shape},
                                           {"data_offsets", {offset, offset + *bytes}}});
    offset += *bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  std::array<std::byte, kLengthBytes> length;
  const uint64_t size = text.size();
  std::memcpy(length.data(), &size, kLengthBytes);

  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  FULMEN_TRY(file.Write(length));
  FULMEN_TRY(file.Write(text));
  return SafetensorsWriter(std::move(file), offset);
}

Status SafetensorsWriter::Write(std::span<const std::byte> bytes) {
  FULMEN_CHECK(bytes.size() <= remaining_, "{} bytes, {} left", bytes.size(), remaining_);
  remaining_ -= bytes.size();
  return file_.Write(bytes);
}

Status SafetensorsWriter::Finish() {
  FULMEN_CHECK(remaining_ == 0, "{} declared bytes were not written", remaining_);
  return file_.Commit();
}

}  // namespace fulmen
