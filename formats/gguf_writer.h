// Writes the GGUF container: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/file_io.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/tensor.h"

namespace fulmen {

// One read from another file, as GgufValue, is written as it was; that file must stay mapped.
using GgufMetadataValue =
    std::variant<uint32_t, int32_t, float, bool, std::string, uint64_t, std::vector<std::string>,
                 std::vector<int32_t>, std::vector<float>, GgufValue>;
using GgufMetadata = std::vector<std::pair<std::string, GgufMetadataValue>>;

// Streams tensors into a file that appears under its name only when whole. Declare every tensor
// first, then write each one's bytes in the order declared (in pieces of any size).
class GgufWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype;
    Shape shape;  // as in other checkpoints, [out, in]; the container has it reversed
  };

  // Fails for a type that the container has no number for. Metadata keeps its order.
  static Result<GgufWriter> Create(const std::string& path, const GgufMetadata& metadata,
                                   const std::vector<Declaration>& tensors);
  // Appends to the tensor being written. Writing more than declared in total is a broken invariant.
  Status Write(std::span<const std::byte> bytes);
  // Waits until all is on the disk, so that Finish() takes but a moment.
  Status Flush();
  // Fails a check unless every declared byte was written.
  Status Finish();

 private:
  GgufWriter(AtomicFile file, std::vector<size_t> sizes)
      : file_(std::move(file)), sizes_(std::move(sizes)) {}
  // Pads what was written up to the next tensor that has bytes, or to the end.
  Status EndTensors();

  AtomicFile file_;
  std::vector<size_t> sizes_;  // bytes of each tensor
  size_t tensor_ = 0;          // the one being written
  size_t written_ = 0;         // bytes of it
};

}  // namespace fulmen
