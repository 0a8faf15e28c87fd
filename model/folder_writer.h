// Writes models as folders of safetensors, in the authors' naming scheme.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/dtype.h"
#include "base/status.h"
#include "model/config.h"
#include "model/tensor_table.h"

namespace fulmen {

// What a folder is to hold beside the values of its tensors.
struct ModelFolder {
  DType dtype = DType::kBF16;         // F32, BF16 or F16
  std::optional<DType> router_dtype;  // where it is another
  size_t shard_bytes = size_t{5'000'000'000};
  std::map<std::string, std::string> beside;  // texts of other files of the folder, by name
  bool force = false;                         // write into a folder that already holds something
};

// Makes elements [first, first + count) of a tensor, as `type`. `first` is a multiple of
// kFolderPiece.
inline constexpr int64_t kFolderPiece = int64_t{1} << 22;
using FillElements = std::function<Status(const TensorInstance& tensor, DType type, int64_t first,
                                          int64_t count, std::byte* out)>;

// Writes config.json, the safetensors files and what stands beside them into `folder`, made if need
// be. Tensors are made in pieces, each written while the next is made. Files get their names only
// once all are whole; on any failure what was written is removed. `progress` gets the bytes of each
// piece written and may return false to cancel.
Status WriteModelFiles(const Config& config, const ModelFolder& contents, const FillElements& fill,
                       const std::string& folder, const std::function<bool(size_t)>& progress);

// Bytes of all tensors.
size_t ModelFolderBytes(const Config& config, const ModelFolder& contents);

}  // namespace fulmen
