#include "model/folder_writer.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "base/file_io.h"
#include "base/piece_writer.h"
#include "base/temporaries.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

DType TypeOf(const TensorRow& row, const ModelFolder& contents) {
  return row.Is(&LayerWeights::router) ? contents.router_dtype.value_or(contents.dtype)
                                       : contents.dtype;
}

using Shard = std::vector<TensorInstance>;

std::vector<Shard> SplitIntoShards(const Config& config, const ModelFolder& contents) {
  std::vector<Shard> shards(1);
  size_t used = 0;
  for (TensorInstance& tensor : ExpectedTensors(config)) {
    const size_t bytes = BytesOf(TypeOf(*tensor.row, contents), ElementCount(tensor.shape));
    if (used > 0 && used + bytes > contents.shard_bytes) {
      shards.emplace_back();
      used = 0;
    }
    used += bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

// Writes tensors, in pieces.
class TensorWriter {
 public:
  TensorWriter(const ModelFolder& contents, const FillElements& fill,
               const std::function<bool(size_t)>& progress)
      : contents_(contents), fill_(fill), pieces_(progress) {}

  Status WriteShard(const Shard& shard, const std::string& path) {
    std::vector<SafetensorsWriter::Declaration> declarations;
    for (const TensorInstance& tensor : shard) {
      declarations.push_back({tensor.name, TypeOf(*tensor.row, contents_), tensor.shape});
    }
    FULMEN_ASSIGN(SafetensorsWriter writer,
                  SafetensorsWriter::Create(path, declarations, {{"format", "pt"}}));
    Status status;
    for (const TensorInstance& tensor : shard) {
      if (status) status = Write(tensor, writer);
    }
    const Status settled = pieces_.Settle();  // before the writer goes away
    FULMEN_TRY(status);
    FULMEN_TRY(settled);
    return writer.Finish();
  }

 private:
  Status Write(const TensorInstance& tensor, SafetensorsWriter& writer) {
    const DType type = TypeOf(*tensor.row, contents_);
    const int64_t elements = ElementCount(tensor.shape);
    for (int64_t first = 0; first < elements; first += kFolderPiece) {
      const int64_t count = std::min(elements - first, kFolderPiece);
      const auto make = [&](std::span<std::byte> piece) {
        return fill_(tensor, type, first, count, piece.data());
      };
      FULMEN_TRY(
          pieces_.Write(static_cast<size_t>(count) * DTypeSize(type), make,
                        [&writer](std::span<std::byte> piece) { return writer.Write(piece); }));
    }
    return {};
  }

  const ModelFolder& contents_;
  const FillElements& fill_;
  PieceWriter pieces_;
};

// Everything but config.json, into `folder`. Returns the names of the files.
Result<std::vector<std::string>> WriteWeights(const Config& config, const ModelFolder& contents,
                                              const FillElements& fill, const std::string& folder,
                                              const std::function<bool(size_t)>& progress) {
  const std::vector<Shard> shards = SplitIntoShards(config, contents);
  TensorWriter tensors(contents, fill, progress);
  std::vector<std::string> names;
  Json index;
  index["metadata"]["total_size"] = ModelFolderBytes(config, contents);
  Json::object_t map;
  for (size_t i = 0; i < shards.size(); ++i) {
    names.push_back(shards.size() == 1
                        ? "model.safetensors"
                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
    FULMEN_TRY(tensors.WriteShard(shards[i], folder + "/" + names.back()));
    std::vector<std::pair<const std::string, Json>>& members = map;
    for (const TensorInstance& tensor : shards[i]) members.emplace_back(tensor.name, names.back());
  }
  if (shards.size() > 1) {
    index["weight_map"] = std::move(map);
    names.emplace_back("model.safetensors.index.json");
    FULMEN_TRY(WriteFileAtomically(folder + "/" + names.back(), index.dump(2) + "\n"));
  }
  return names;
}

// A folder that holds the files until all are whole: inside the target where that exists already,
// else beside it.
class Staging {
 public:
  static Result<Staging> Create(std::string target) {
    while (target.size() > 1 && target.ends_with('/')) target.pop_back();
    std::error_code error;
    const bool existed = fs::exists(target, error);
    Staging staging(target, existed, TemporaryName(existed ? target + "/.model" : target));
    fs::create_directories(staging.path(), error);
    if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target, error.message());
    return staging;
  }

  const std::string& path() const { return folder_.path(); }

  // Gives the named files their place, in order.
  Status Publish(const std::vector<std::string>& names) {
    std::error_code error;
    if (!existed_) {
      fs::rename(path(), target_, error);
      if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target_, error.message());
      folder_.Keep();
      return {};
    }
    RemoveFormerWeights();
    for (const std::string& name : names) {
      fs::rename(path() + "/" + name, target_ + "/" + name, error);
      if (error) {
        return Fail(ErrorCode::kIo, "cannot write {}/{}: {}", target_, name, error.message());
      }
    }
    return {};
  }

 private:
  Staging(std::string target, bool existed, std::string folder)
      : target_(std::move(target)), existed_(existed), folder_(std::move(folder)) {}

  // Shards of a former model under names the new one does not use would stay beside it.
  void RemoveFormerWeights() const {
    std::vector<fs::path> former;
    std::error_code error;
    for (fs::directory_iterator it(target_, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (name == "model.safetensors" || name == "model.safetensors.index.json" ||
          (name.starts_with("model-") && name.ends_with(".safetensors"))) {
        former.push_back(it->path());
      }
    }
    for (const fs::path& path : former) fs::remove(path, error);
  }

  std::string target_;
  bool existed_;
  Temporary folder_;
};

Status CheckTarget(const std::string& folder, size_t bytes, bool force) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected a folder to write into, found a file",
                folder);
  }
  if (!force && fs::is_directory(folder, error) && !fs::is_empty(folder, error) && !error) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the folder is not empty (--force writes anyway)",
                folder);
  }
  fs::path existing = fs::absolute(folder, error);
  while (!fs::exists(existing, error) && existing != existing.root_path()) {
    existing = existing.parent_path();
  }
  const fs::space_info space = fs::space(existing, error);
  if (!error && space.capacity > 0 && space.available < bytes) {
    return Fail(ErrorCode::kIo, "{}: the model needs {} bytes, the disk has {} free", folder, bytes,
                space.available);
  }
  return {};
}

}  // namespace

size_t ModelFolderBytes(const Config& config, const ModelFolder& contents) {
  size_t bytes = 0;
  for (const TensorInstance& tensor : ExpectedTensors(config)) {
    bytes += BytesOf(TypeOf(*tensor.row, contents), ElementCount(tensor.shape));
  }
  return bytes;
}

Status WriteModelFiles(const Config& config, const ModelFolder& contents, const FillElements& fill,
                       const std::string& folder, const std::function<bool(size_t)>& progress) {
  const Json json = ConfigToJson(config, contents.dtype == DType::kF32   ? "float32"
                                         : contents.dtype == DType::kF16 ? "float16"
                                                                         : "bfloat16");
  FULMEN_TRY(ParseConfig(json, "the model asked for"));
  FULMEN_TRY(CheckTarget(folder, ModelFolderBytes(config, contents), contents.force));
  FULMEN_ASSIGN(Staging staging, Staging::Create(folder));
  FULMEN_ASSIGN(std::vector<std::string> names,
                WriteWeights(config, contents, fill, staging.path(), progress));
  for (const auto& [name, text] : contents.beside) {
    FULMEN_TRY(WriteFileAtomically(staging.path() + "/" + name, text));
    names.push_back(name);
  }
  if (config.vision) {
    names.emplace_back("preprocessor_config.json");
    FULMEN_TRY(WriteFileAtomically(staging.path() + "/" + names.back(),
                                   PreprocessorConfigToJson(*config.vision).dump(2) + "\n"));
  }
  names.emplace_back("config.json");
  FULMEN_TRY(WriteFileAtomically(staging.path() + "/config.json", json.dump(2) + "\n"));
  return staging.Publish(names);
}

}  // namespace fulmen
