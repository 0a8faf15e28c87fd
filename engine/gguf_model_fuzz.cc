// libFuzzer target: any bytes as a GGUF model, and as the vision half of one, opened as a command
// opens them.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "model/cost.h"
#include "model/testing/tiny_gguf.h"
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

namespace {

// Every weight can be read, and what commands tell of a model can be told.
void Use(const fulmen::Model& model) {
  for (const fulmen::WeightMatrix& weight : fulmen::ListWeights(model.config, model.weights)) {
    std::vector<float> row(static_cast<size_t>(weight.cols));
    fulmen::DequantizeRow(weight, weight.rows - 1, row.data());
  }
  if (fulmen::ParameterCount(model.config) <= 0) abort();
  if (fulmen::DecodeBytes(model, {}, fulmen::DType::kF32) < 0) abort();
}

// A sound model of text, for the program's life.
const std::string& TextHalf() {
  static const std::string path = [] {
    const int file = memfd_create("text.gguf", MFD_CLOEXEC);
    std::string name = "/proc/self/fd/" + std::to_string(file);
    fulmen::testing::TinyGguf().Write(name);
    return name;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int file = memfd_create("model.gguf", MFD_CLOEXEC);
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) abort();
  if (const auto files = fulmen::ModelFiles::Open(path); files && files->gguf()) {
    if (const auto model = fulmen::LoadModel(*files)) {
      Use(*model);
    }
    if (const auto tokenizer = fulmen::Tokenizer::Load(*files)) {
      tokenizer->Encode("Hello, 1 <x>", fulmen::Tokenizer::Markers::kParse);
    }
  }
  if (const auto files = fulmen::ModelFiles::Open(TextHalf(), path)) {
    if (const auto model = fulmen::LoadModel(*files)) Use(*model);
  }
  close(file);
  return 0;
}
