// The safetensors container: 8 bytes header length, a JSON header, the tensors' bytes.
// https://huggingface.co/docs/safetensors ("Format").
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/status.h"
#include "formats/tensor.h"

namespace fulmen {

// One entry of a header. `begin` and `end` are byte offsets from the start of the file.
struct SafetensorsEntry {
  DType dtype = DType::kF32;
  Shape shape;
  size_t begin = 0;
  size_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
};

// Parses untrusted bytes: the start of a file of `file_size` bytes (or the whole of it). Every
// entry of the result lies inside the file, agrees with its shape and type, and overlaps no other.
// `where` names the file in errors.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> start, size_t file_size,
                                                 const std::string& where);

// Streams tensors into a safetensors file that appears under its name only when whole. Declare
// every tensor first, then write each one's bytes in the order declared (in pieces of any size).
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype;
    Shape shape;
  };
  static Result<SafetensorsWriter> Create(const std::string& path,
                                          const std::vector<Declaration>& tensors,
                                          const std::map<std::string, std::string>& metadata = {});
  // Appends to the tensor being written. Writing more than declared in total is a broken invariant.
  Status Write(std::span<const std::byte> bytes);
  // Fails a check unless every declared byte was written.
  Status Finish();

 private:
  SafetensorsWriter(AtomicFile file, size_t remaining)
      : file_(std::move(file)), remaining_(remaining) {}
  AtomicFile file_;
  size_t remaining_;
};

}  // namespace fulmen
