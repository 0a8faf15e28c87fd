#include "formats/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "formats/safetensors.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleName = "model.safetensors";

// The one safetensors file of a folder without an index.
Result<std::string> FindSingleFile(const std::string& folder) {
  std::error_code error;
  if (fs::exists(fs::path(folder) / kSingleName, error)) {
    return (fs::path(folder) / kSingleName).string();
  }
  std::vector<std::string> found;
  std::vector<std::string> others;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path extension = it->path().extension();
    if (extension == ".safetensors") found.push_back(it->path().string());
    if (extension == ".bin" || extension == ".pth" || extension == ".pt" || extension == ".gguf") {
      others.push_back(it->path().filename().string());
    }
  }
  if (error) return Fail(ErrorCode::kIo, "{}: {}", folder, error.message());
  if (found.size() == 1) return found.front();
  if (found.empty() && !others.empty()) {
    const std::string& other = *std::ranges::min_element(others);
    return Fail(ErrorCode::kUnsupported,
                "{}: a folder's weights are read from safetensors files, found none but {}{}",
                folder, other,
                other.ends_with(".gguf") ? ", which is a model by itself: name that file" : "");
  }
  return Fail(ErrorCode::kNotFound,
              "{}: expected {}, {} or one .safetensors file, found {} .safetensors files", folder,
              kCheckpointIndexName, kSingleName, found.size());
}

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

std::set<std::string> ShardsOf(const CheckpointIndex& index) {
  std::set<std::string> shards;
  for (const auto& [name, shard] : index.shard_of) shards.insert(shard);
  return shards;
}

// Of the widest number in its blocks, which is a binary16 where they are quantized.
size_t AlignmentOf(DType dtype) { return IsQuantized(dtype) ? 2 : DTypeSize(dtype); }

}  // namespace

std::vector<std::string> MissingShards(const std::string& folder, const CheckpointIndex& index) {
  std::vector<std::string> missing;
  for (const std::string& shard : ShardsOf(index)) {
    std::error_code ignored;
    if (!fs::exists(fs::path(folder) / shard, ignored)) missing.push_back(shard);
  }
  return missing;
}

Result<CheckpointIndex> ReadCheckpointIndex(const std::string& path) {
  FULMEN_ASSIGN(const Json json, ReadJsonFile(path));
  const auto bad = [&](std::string_view what) {
    return Fail(ErrorCode::kCorrupt, "{}: {}", path, what);
  };
  if (!json.is_object()) return bad("expected an object, found " + Shown(json));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object() || map->empty()) {
    return bad("expected \"weight_map\", an object of tensor names and file names");
  }
  CheckpointIndex index;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\" should name a file of this folder, found {}", path, name,
                  Shown(file));
    }
    index.shard_of.emplace(name, file.get<std::string>());
  }
  const auto metadata = json.find("metadata");
  if (metadata != json.end() && metadata->is_object() && metadata->contains("total_size")) {
    const Json& size = metadata->at("total_size");
    // Some writers give a whole number as a float.
    if (!size.is_number() || size.get<double>() < 0 || size.get<double>() > 0x1p62) {
      return Fail(ErrorCode::kCorrupt, "{}: total_size should be a number of bytes, found {}", path,
                  Shown(size));
    }
    index.total_size =
        size.is_number_float() ? static_cast<size_t>(size.get<double>()) : size.get<size_t>();
  }
  return index;
}

Result<Checkpoint> Checkpoint::Open(const std::string& path) {
  std::error_code error;
  Checkpoint checkpoint;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return Fail(ErrorCode::kNotFound, "{}: no such file or folder", path);
  }
  if (status.type() != fs::file_type::directory) {
    FULMEN_TRY(checkpoint.AddFile(path));
    return checkpoint;
  }
  const std::string index_path = (fs::path(path) / kCheckpointIndexName).string();
  if (!fs::exists(index_path, error)) {
    FULMEN_ASSIGN(const std::string file, FindSingleFile(path));
    FULMEN_TRY(checkpoint.AddFile(file));
    return checkpoint;
  }
  FULMEN_ASSIGN(const CheckpointIndex index, ReadCheckpointIndex(index_path));
  const std::vector<std::string> missing = MissingShards(path, index);
  const std::set<std::string> shards = ShardsOf(index);
  if (!missing.empty()) {
    return Fail(ErrorCode::kNotFound,
                "{}: {} of {} shards named by {} are missing, the first is {}", path,
                missing.size(), shards.size(), kCheckpointIndexName, missing.front());
  }
  for (const std::string& shard : shards) {
    FULMEN_TRY(checkpoint.AddFile((fs::path(path) / shard).string()));
  }
  for (const auto& [name, shard] : index.shard_of) {
    const auto found = checkpoint.file_of_.find(name);
    if (found == checkpoint.file_of_.end() || fs::path(found->second->path()).filename() != shard) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is not in {}, where {} says it is", path,
                  name, shard, kCheckpointIndexName);
    }
  }
  return checkpoint;
}

Status Checkpoint::AddFile(const std::string& path) {
  FULMEN_ASSIGN(MappedFile mapped, MappedFile::Open(path));
  files_.push_back(std::make_unique<MappedFile>(std::move(mapped)));
  const MappedFile& file = *files_.back();
  FULMEN_ASSIGN(const SafetensorsHeader header,
                ParseSafetensorsHeader(file.bytes(), file.bytes().size(), path));
  for (const auto& [name, entry] : header.tensors) {
    FULMEN_TRY(AddTensor(name, file, entry.begin, entry.end, entry.dtype, entry.shape));
  }
  return {};
}

Result<Checkpoint> Checkpoint::OfGguf(std::vector<std::shared_ptr<const GgufModel>> models) {
  Checkpoint checkpoint;
  for (const auto& model : models) {
    for (const GgufPart& part : model->parts) {
      for (const auto& [name, tensor] : part.header.tensors) {
        FULMEN_TRY(checkpoint.AddTensor(name, part.file, tensor.begin, tensor.end, tensor.dtype,
                                        tensor.shape));
      }
    }
  }
  checkpoint.gguf_ = std::move(models);
  return checkpoint;
}

Status Checkpoint::AddTensor(const std::string& name, const MappedFile& file, size_t begin,
                             size_t end, DType dtype, const Shape& shape) {
  const auto [at, fresh] = file_of_.emplace(name, &file);
  if (!fresh) {
    return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is also in {}", file.path(), name,
                at->second->path());
  }
  const std::byte* data = file.bytes().data() + begin;
  if (reinterpret_cast<uintptr_t>(data) % AlignmentOf(dtype) != 0) {
    data = CopyAligned(data, end - begin);
  }
  tensors_.emplace(name, TensorView{data, dtype, shape});
  return {};
}

const std::byte* Checkpoint::CopyAligned(const std::byte* data, size_t bytes) {
  auto copy = std::make_unique<std::byte[]>(std::max<size_t>(bytes, 1));
  std::memcpy(copy.get(), data, bytes);
  copies_.push_back(std::move(copy));
  return copies_.back().get();
}

const std::string& Checkpoint::FileOf(const std::string& name) const {
  const auto found = file_of_.find(name);
  FULMEN_CHECK(found != file_of_.end(), "no tensor {}", name);
  return found->second->path();
}

size_t Checkpoint::total_bytes() const {
  size_t total = 0;
  for (const auto& [name, view] : tensors_) total += view.bytes();
  return total;
}

}  // namespace fulmen
