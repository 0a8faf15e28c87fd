#include "train/dataset.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/check.h"
#include "base/file_io.h"
#include "base/json.h"

namespace fulmen {
namespace {

Result<int64_t> ReadCount(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned() ||
      found->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a whole number, found {}", where, key,
                found == json.end() ? "nothing" : Shown(*found));
  }
  return found->get<int64_t>();
}

// The tensor as elements of T; empty when it is absent and optional.
template <class T>
Result<std::span<const T>> ReadVector(const Checkpoint& file, const std::string& name, DType dtype,
                                      bool optional, const std::string& where) {
  const auto found = file.tensors().find(name);
  if (found == file.tensors().end()) {
    if (optional) return std::span<const T>();
    return Fail(ErrorCode::kCorrupt, "{}: expected the tensor '{}', found none", where, name);
  }
  const TensorView& view = found->second;
  if (view.dtype != dtype || view.shape.size() != 1) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a list of {}, found {} {}", where, name,
                DTypeName(dtype), DTypeName(view.dtype), ShapeString(view.shape));
  }
  return std::span(reinterpret_cast<const T*>(view.data), static_cast<size_t>(view.elements()));
}

}  // namespace

std::string ShardName(int64_t shard) { return fmt::format("shard-{:05}.safetensors", shard); }

Result<DatasetInfo> ParseDatasetInfo(std::string_view json, const std::string& where) {
  FULMEN_ASSIGN(const Json parsed, ParseJson(json, where));
  if (!parsed.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: an object is expected, found {}", where,
                parsed.type_name());
  }
  DatasetInfo info;
  FULMEN_ASSIGN(info.documents, ReadCount(parsed, "documents", where));
  FULMEN_ASSIGN(info.tokens, ReadCount(parsed, "tokens", where));
  FULMEN_ASSIGN(info.loss_tokens, ReadCount(parsed, "learnt_tokens", where));
  FULMEN_ASSIGN(info.vocabulary, ReadCount(parsed, "vocabulary", where));
  FULMEN_ASSIGN(info.shards, ReadCount(parsed, "shards", where));
  const auto tokenizer = parsed.find("tokenizer");
  if (tokenizer == parsed.end() || !tokenizer->is_string()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'tokenizer' should be a string", where);
  }
  info.tokenizer = tokenizer->get<std::string>();
  if (const auto format = parsed.find("chat_format"); format != parsed.end()) {
    if (format->is_string()) info.chat_format = ChatFormatFromName(format->get<std::string>());
    if (!info.chat_format) {
      return Fail(ErrorCode::kCorrupt, "{}: 'chat_format' should be a known one, found {}", where,
                  Shown(*format));
    }
  }
  return info;
}

Status CheckShard(std::span<const int32_t> tokens, std::span<const int64_t> starts,
                  std::span<const uint8_t> loss_mask, int64_t vocabulary,
                  const std::string& where) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != count) {
    return Fail(ErrorCode::kCorrupt, "{}: 'starts' should rise from 0 to {}, found {}", where,
                count,
                starts.empty() ? "nothing" : fmt::format("{} to {}", starts[0], starts.back()));
  }
  for (size_t i = 1; i < starts.size(); ++i) {
    if (starts[i] <= starts[i - 1]) {
      return Fail(ErrorCode::kCorrupt, "{}: document {} begins at token {} and ends at {}", where,
                  i - 1, starts[i - 1], starts[i]);
    }
  }
  const auto wrong = std::find_if(tokens.begin(), tokens.end(),
                                  [&](int32_t id) { return id < 0 || id >= vocabulary; });
  if (wrong != tokens.end()) {
    return Fail(ErrorCode::kCorrupt, "{}: token {} is {}, which is not in the vocabulary of {}",
                where, wrong - tokens.begin(), *wrong, vocabulary);
  }
  if (!loss_mask.empty() && loss_mask.size() != tokens.size()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'learnt' should have {} elements, found {}", where, count,
                loss_mask.size());
  }
  if (std::any_of(loss_mask.begin(), loss_mask.end(), [](uint8_t flag) { return flag > 1; })) {
    return Fail(ErrorCode::kCorrupt, "{}: 'learnt' should hold 0 and 1 only", where);
  }
  return {};
}

Result<Dataset::Shard> Dataset::OpenShard(const std::string& path, int64_t vocabulary) {
  FULMEN_ASSIGN(Checkpoint file, Checkpoint::Open(path));
  FULMEN_ASSIGN(const auto tokens, ReadVector<int32_t>(file, "tokens", DType::kI32, false, path));
  FULMEN_ASSIGN(const auto starts, ReadVector<int64_t>(file, "starts", DType::kI64, false, path));
  FULMEN_ASSIGN(const auto loss_mask, ReadVector<uint8_t>(file, "learnt", DType::kU8, true, path));
  FULMEN_TRY(CheckShard(tokens, starts, loss_mask, vocabulary, path));
  return Shard{std::move(file), tokens, starts, loss_mask};
}

Result<Dataset> Dataset::Open(const std::string& folder) {
  const std::string path = folder + "/" + kDatasetInfoName;
  std::error_code absent;
  if (std::filesystem::exists(folder + "/train/" + kDatasetInfoName, absent)) {
    return Fail(ErrorCode::kNotFound,
                "{0} is no dataset but holds two: {0}/train and {0}/held-out are expected", folder);
  }
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  Dataset dataset;
  FULMEN_ASSIGN(dataset.info_, ParseDatasetInfo(text, path));
  const DatasetInfo& info = dataset.info_;
  int64_t documents = 0;
  int64_t tokens = 0;
  for (int64_t i = 0; i < info.shards; ++i) {
    FULMEN_ASSIGN(Shard shard, OpenShard(folder + "/" + ShardName(i), info.vocabulary));
    dataset.first_.push_back(documents);
    documents += static_cast<int64_t>(shard.starts.size()) - 1;
    tokens += static_cast<int64_t>(shard.tokens.size());
    dataset.shards_.push_back(std::move(shard));
  }
  if (documents != info.documents || tokens != info.tokens) {
    return Fail(ErrorCode::kCorrupt,
                "{} states {} documents of {} tokens, its {} shards hold {} of {}", path,
                info.documents, info.tokens, info.shards, documents, tokens);
  }
  return dataset;
}

Document Dataset::document(int64_t index) const {
  FULMEN_CHECK(index >= 0 && index < info_.documents, "document {} of {}", index, info_.documents);
  const auto after = std::upper_bound(first_.begin(), first_.end(), index);
  const auto number = static_cast<size_t>(after - first_.begin()) - 1;
  const Shard& shard = shards_[number];
  const auto local = static_cast<size_t>(index - first_[number]);
  const auto begin = static_cast<size_t>(shard.starts[local]);
  const size_t length = static_cast<size_t>(shard.starts[local + 1]) - begin;
  Document document{shard.tokens.subspan(begin, length), {}};
  if (!shard.loss_mask.empty()) document.loss_mask = shard.loss_mask.subspan(begin, length);
  return document;
}

}  // namespace fulmen
