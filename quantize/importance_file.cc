#include "quantize/importance_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace fulmen {
namespace {

constexpr std::string_view kType = "imatrix";
constexpr std::string_view kDatasets = "imatrix.datasets";
constexpr std::string_view kChunkCount = "imatrix.chunk_count";
constexpr std::string_view kChunkSize = "imatrix.chunk_size";
constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

Status CheckNumbers(std::span<const float> numbers, std::string_view tensor, std::string_view what,
                    const std::string& where) {
  const auto wrong = std::ranges::find_if_not(
      numbers, [](float value) { return std::isfinite(value) && value >= 0; });
  if (wrong == numbers.end()) return {};
  return Fail(ErrorCode::kCorrupt,
              "{}: {} {} of tensor \"{}\" is {}, expected a finite number of at least 0", where,
              what, wrong - numbers.begin(), tensor, *wrong);
}

Status CheckEntry(const ImportanceEntry& entry, std::string_view tensor, const std::string& where) {
  if (entry.counts.empty() || entry.sums.empty() || entry.sums.size() % entry.counts.size() != 0) {
    return Fail(ErrorCode::kCorrupt,
                "{}: tensor \"{}\" has {} sums for {} counts, expected as many for each", where,
                tensor, entry.sums.size(), entry.counts.size());
  }
  FULMEN_TRY(CheckNumbers(entry.sums, tensor, "sum", where));
  return CheckNumbers(entry.counts, tensor, "count", where);
}

Result<std::vector<float>> Floats(std::span<const std::byte> file, const GgufTensor& tensor,
                                  std::string_view name, const std::string& where) {
  if (tensor.dtype != DType::kF32) {
    return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is {}, expected F32", where, name,
                DTypeName(tensor.dtype));
  }
  std::vector<float> values((tensor.end - tensor.begin) / sizeof(float));
  std::memcpy(values.data(), file.data() + tensor.begin, tensor.end - tensor.begin);
  return values;
}

int64_t IntegerOr0(const GgufHeader& header, std::string_view key) {
  const GgufValue* value = header.Find(key);
  return value == nullptr ? 0 : std::max<int64_t>(0, value->Integer().value_or(0));
}

Result<ImportanceMatrix> FromGguf(std::span<const std::byte> file, const std::string& where) {
  FULMEN_ASSIGN(const GgufHeader header, ParseGguf(file, where));
  FULMEN_ASSIGN(const std::string_view type, header.FindString("general.type", where));
  if (type != kType) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected an importance matrix (general.type \"imatrix\"), found a GGUF file "
                "of type \"{}\"",
                where, type);
  }
  ImportanceMatrix importance;
  importance.file = where;
  if (const GgufValue* datasets = header.Find(kDatasets)) {
    for (const std::string_view name : datasets->strings) importance.datasets.emplace_back(name);
  }
  importance.chunks = IntegerOr0(header, kChunkCount);
  importance.chunk_size = IntegerOr0(header, kChunkSize);
  for (const auto& [name, tensor] : header.tensors) {
    if (!name.ends_with(kSums)) continue;
    const std::string of = name.substr(0, name.size() - kSums.size());
    const auto counts = header.tensors.find(of + std::string(kCounts));
    if (counts == header.tensors.end()) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" has sums and no counts", where, of);
    }
    ImportanceEntry entry;
    FULMEN_ASSIGN(entry.sums, Floats(file, tensor, name, where));
    FULMEN_ASSIGN(entry.counts, Floats(file, counts->second, counts->first, where));
    FULMEN_TRY(CheckEntry(entry, of, where));
    importance.entries.emplace(of, std::move(entry));
  }
  return importance;
}

// Reads the binary form, which has no magic number and only counts before what follows.
class OldForm {
 public:
  OldForm(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  Result<ImportanceMatrix> Read() {
    ImportanceMatrix importance;
    importance.file = where_;
    FULMEN_ASSIGN(const int32_t entries, Count("the number of tensors", 1));
    for (int32_t i = 0; i < entries; ++i) FULMEN_TRY(ReadEntry(i, importance));
    if (file_.empty()) return importance;
    FULMEN_ASSIGN(importance.chunks, Count("the number of chunks", 0));
    if (file_.empty()) return importance;
    FULMEN_ASSIGN(const std::string dataset, Text("the name of the text"));
    if (!dataset.empty()) importance.datasets.push_back(dataset);
    if (file_.empty()) return importance;
    return Fail(ErrorCode::kCorrupt, "{}: {} bytes follow the name of the text, expected none",
                where_, file_.size());
  }

 private:
  Status ReadEntry(int32_t index, ImportanceMatrix& importance) {
    FULMEN_ASSIGN(const std::string name, Text(fmt::format("the name of tensor {}", index)));
    const std::string of = fmt::format("of tensor \"{}\"", name);
    FULMEN_ASSIGN(const int32_t calls, Count("the number of chunks " + of, 0));
    FULMEN_ASSIGN(const int32_t values, Count("the number of sums " + of, 1));
    FULMEN_ASSIGN(const auto bytes,
                  Take(size_t{4} * static_cast<size_t>(values), "the sums " + of));
    // The sums are means times the calls; without calls they are means.
    ImportanceEntry entry{.sums = std::vector<float>(static_cast<size_t>(values)),
                          .counts = {calls == 0 ? 1.0F : static_cast<float>(calls)}};
    std::memcpy(entry.sums.data(), bytes.data(), bytes.size());
    FULMEN_TRY(CheckEntry(entry, name, where_));
    if (importance.entries.emplace(name, std::move(entry)).second) return {};
    return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" stands twice", where_, name);
  }

  Result<std::span<const std::byte>> Take(size_t bytes, const std::string& what) {
    if (bytes > file_.size()) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: expected a GGUF file or an importance matrix in llama.cpp's old form, but "
                  "{} would take {} bytes and {} are left",
                  where_, what, bytes, file_.size());
    }
    const auto taken = file_.first(bytes);
    file_ = file_.subspan(bytes);
    return taken;
  }

  Result<int32_t> Count(const std::string& what, int32_t least) {
    FULMEN_ASSIGN(const auto bytes, Take(sizeof(int32_t), what));
    int32_t count = 0;
    std::memcpy(&count, bytes.data(), bytes.size());
    if (count >= least) return count;
    return Fail(ErrorCode::kCorrupt, "{}: {} is {}, expected at least {}", where_, what, count,
                least);
  }

  Result<std::string> Text(const std::string& what) {
    FULMEN_ASSIGN(const int32_t length, Count("the length of " + what, 0));
    FULMEN_ASSIGN(const auto bytes, Take(static_cast<size_t>(length), what));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  std::span<const std::byte> file_;  // what is left of it
  const std::string& where_;
};

}  // namespace

Result<ImportanceMatrix> ParseImportance(std::span<const std::byte> file,
                                         const std::string& where) {
  const bool gguf = file.size() >= kGgufMagic.size() &&
                    std::memcmp(file.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
  FULMEN_ASSIGN(ImportanceMatrix importance,
                gguf ? FromGguf(file, where) : OldForm(file, where).Read());
  if (!importance.empty()) return importance;
  return Fail(ErrorCode::kCorrupt, "{}: the importance matrix has no tensors", where);
}

Result<ImportanceMatrix> ReadImportance(const std::string& path) {
  FULMEN_ASSIGN(const MappedFile file, MappedFile::Open(path));
  return ParseImportance(file.bytes(), path);
}

Status WriteImportance(const ImportanceMatrix& importance, const std::string& path) {
  const GgufMetadata metadata = {
      {"general.type", std::string(kType)},
      {std::string(kDatasets), importance.datasets},
      {std::string(kChunkCount), static_cast<uint32_t>(importance.chunks)},
      {std::string(kChunkSize), static_cast<uint32_t>(importance.chunk_size)},
  };
  std::vector<GgufWriter::Declaration> tensors;
  for (const auto& [name, entry] : importance.entries) {
    const int64_t matrices = std::ssize(entry.counts);
    tensors.push_back({name + std::string(kSums), DType::kF32, {matrices, entry.cols()}});
    tensors.push_back({name + std::string(kCounts), DType::kF32, {matrices, 1}});
  }
  FULMEN_ASSIGN(GgufWriter writer, GgufWriter::Create(path, metadata, tensors));
  for (const auto& [name, entry] : importance.entries) {
    FULMEN_TRY(writer.Write(std::as_bytes(std::span(entry.sums))));
    FULMEN_TRY(writer.Write(std::as_bytes(std::span(entry.counts))));
  }
  return writer.Finish();
}

}  // namespace fulmen
