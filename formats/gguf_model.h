// A model in GGUF: one file, or all parts of one that was split.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "formats/gguf.h"

namespace fulmen {

struct GgufPart {
  MappedFile file;
  GgufHeader header;  // points into `file`
};

// The parts in their order, at least one. The metadata of the first is that of the model.
struct GgufModel {
  std::vector<GgufPart> parts;

  const GgufHeader& header() const { return parts.front().header; }
  // Names the model's metadata in errors.
  const std::string& where() const { return parts.front().file.path(); }
  // Of any part; nullptr where there is none.
  const GgufTensor* Find(std::string_view tensor) const;
};

// `path` is the file, or any part: NAME-00002-of-00003.gguf stands beside the others. Every part
// must be there and say which one it is; together they must hold as many tensors as they say.
Result<GgufModel> OpenGguf(const std::string& path);

// The general.architecture of a model's vision half, which is a file of its own: llama.cpp's
// mmproj.
inline constexpr std::string_view kMmprojArchitecture = "clip";
// Where that of the model at `path` stands, if it has one: mmproj-NAME.gguf beside NAME.gguf, or
// beside all parts of a split NAME.
std::string MmprojPath(const std::string& path);

}  // namespace fulmen
