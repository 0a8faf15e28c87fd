// A set of named tensors on disk: one safetensors file, a folder with one or with shards listed in
// model.safetensors.index.json, or the parts of a GGUF model. Files are memory-mapped, so a view
// costs nothing until it is read; only tensors a writer left at an address their type cannot be
// read from are copied.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "formats/gguf_model.h"
#include "formats/tensor.h"

namespace fulmen {

class Checkpoint {
 public:
  // `path` is a .safetensors file or a folder. Every shard the index names must be there and hold
  // the tensors the index says; names may not repeat.
  static Result<Checkpoint> Open(const std::string& path);
  // Of models that belong together. Fails where two parts hold a tensor of the same name.
  static Result<Checkpoint> OfGguf(std::vector<std::shared_ptr<const GgufModel>> models);

  // All tensors by name, sorted. Views live as long as the checkpoint (which may be moved).
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  // The file that holds `name`, for error messages.
  const std::string& FileOf(const std::string& name) const;
  size_t total_bytes() const;

 private:
  Checkpoint() = default;
  Status AddFile(const std::string& path);
  // `begin` and `end` are byte offsets in `file`, which outlives the checkpoint.
  Status AddTensor(const std::string& name, const MappedFile& file, size_t begin, size_t end,
                   DType dtype, const Shape& shape);
  const std::byte* CopyAligned(const std::byte* data, size_t bytes);

  std::vector<std::unique_ptr<MappedFile>> files_;
  std::vector<std::shared_ptr<const GgufModel>> gguf_;  // or these
  std::vector<std::unique_ptr<std::byte[]>> copies_;    // of misaligned tensors
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, const MappedFile*> file_of_;
};

inline constexpr const char* kCheckpointIndexName = "model.safetensors.index.json";

// What an index file alone says, for inspecting a model whose shards are not here.
struct CheckpointIndex {
  std::map<std::string, std::string> shard_of;  // tensor name -> file name
  size_t total_size = 0;                        // bytes, as the index declares
};
Result<CheckpointIndex> ReadCheckpointIndex(const std::string& path);
// The files it names that are not in `folder`.
std::vector<std::string> MissingShards(const std::string& folder, const CheckpointIndex& index);

}  // namespace fulmen
