#include "formats/gguf_model.h"

#include <filesystem>
#include <utility>

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPartKey = "split.no";
constexpr const char* kPartsKey = "split.count";
constexpr const char* kTensorsKey = "split.tensors.count";
constexpr int64_t kMostParts = 99999;  // as many as their names can count

Result<GgufPart> OpenPart(const std::string& path) {
  FULMEN_ASSIGN(MappedFile file, MappedFile::Open(path));
  FULMEN_ASSIGN(GgufHeader header, ParseGguf(file.bytes(), path));
  return GgufPart{std::move(file), std::move(header)};
}

// A whole number of the metadata from `low` to `high`; `otherwise` where there is none.
Result<int64_t> NumberOf(const GgufPart& part, const char* key, int64_t low, int64_t high,
                         int64_t otherwise) {
  const GgufValue* value = part.header.Find(key);
  if (value == nullptr) return otherwise;
  const int64_t number = value->array ? low - 1 : value->Integer().value_or(low - 1);
  if (number >= low && number <= high) return number;
  return Fail(ErrorCode::kCorrupt, "{}: {} should be a whole number from {} to {}, found {}",
              part.file.path(), key, low, high, value->array ? "an array" : Shown(value->ToJson()));
}

struct PartNumber {
  int64_t index = 0;
  int64_t count = 1;
};

Result<PartNumber> NumberOfPart(const GgufPart& part) {
  PartNumber number;
  FULMEN_ASSIGN(number.count, NumberOf(part, kPartsKey, 0, kMostParts, 1));
  if (number.count <= 1) return PartNumber();
  FULMEN_ASSIGN(number.index, NumberOf(part, kPartKey, 0, number.count - 1, -1));
  if (number.index >= 0) return number;
  return Fail(ErrorCode::kCorrupt, "{}: {} is {}, but there is no {}", part.file.path(), kPartsKey,
              number.count, kPartKey);
}

std::string NameEnd(PartNumber part) {
  return fmt::format("-{:05}-of-{:05}.gguf", part.index + 1, part.count);
}

Result<GgufPart> OpenOther(const std::string& path, PartNumber expected) {
  std::error_code unreadable;  // opening says why
  if (!fs::exists(path, unreadable) && !unreadable) {
    return Fail(ErrorCode::kNotFound, "{}: part {} of {} is missing", path, expected.index + 1,
                expected.count);
  }
  FULMEN_ASSIGN(GgufPart part, OpenPart(path));
  FULMEN_ASSIGN(const PartNumber found, NumberOfPart(part));
  if (found.index == expected.index && found.count == expected.count) return part;
  return Fail(ErrorCode::kCorrupt, "{}: expected part {} of {}, found part {} of {}", path,
              expected.index + 1, expected.count, found.index + 1, found.count);
}

Status CheckTensorCount(const GgufModel& model) {
  FULMEN_ASSIGN(const int64_t expected,
                NumberOf(model.parts.front(), kTensorsKey, 0, INT32_MAX, -1));
  int64_t found = 0;
  for (const GgufPart& part : model.parts) {
    found += static_cast<int64_t>(part.header.tensors.size());
  }
  if (expected < 0 || expected == found) return {};
  return Fail(ErrorCode::kCorrupt, "{}: {} says {}, the {} parts hold {}", model.where(),
              kTensorsKey, expected, model.parts.size(), found);
}

// Of NAME-00002-of-00003.gguf, NAME.gguf; any other name itself.
std::string WithoutPart(const std::string& name) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (name.size() <= kForm.size()) return name;
  const size_t end = name.size() - kForm.size();
  for (size_t i = 0; i < kForm.size(); ++i) {
    const char c = name[end + i];
    if (kForm[i] == '0' ? c < '0' || c > '9' : c != kForm[i]) return name;
  }
  return name.substr(0, end) + ".gguf";
}

}  // namespace

std::string MmprojPath(const std::string& path) {
  const fs::path whole = path;
  return whole.parent_path() / ("mmproj-" + WithoutPart(whole.filename().string()));
}

const GgufTensor* GgufModel::Find(std::string_view tensor) const {
  for (const GgufPart& part : parts) {
    const auto found = part.header.tensors.find(tensor);
    if (found != part.header.tensors.end()) return &found->second;
  }
  return nullptr;
}

Result<GgufModel> OpenGguf(const std::string& path) {
  GgufModel model;
  FULMEN_ASSIGN(GgufPart opened, OpenPart(path));
  FULMEN_ASSIGN(const PartNumber number, NumberOfPart(opened));
  if (number.count == 1) {
    model.parts.push_back(std::move(opened));
    return model;
  }
  const std::string end = NameEnd(number);
  if (!path.ends_with(end)) {
    return Fail(ErrorCode::kCorrupt,
                "{}: part {} of {}, so its name should end with {} for the others to be found",
                path, number.index + 1, number.count, end);
  }
  const std::string name = path.substr(0, path.size() - end.size());
  PartNumber part{0, number.count};
  const auto open_until = [&](int64_t end_index) -> Status {
    for (; part.index < end_index; ++part.index) {
      FULMEN_ASSIGN(GgufPart other, OpenOther(name + NameEnd(part), part));
      model.parts.push_back(std::move(other));
    }
    return {};
  };
  FULMEN_TRY(open_until(number.index));
  model.parts.push_back(std::move(opened));
  ++part.index;
  FULMEN_TRY(open_until(number.count));
  FULMEN_TRY(CheckTensorCount(model));
  return model;
}

}  // namespace fulmen
