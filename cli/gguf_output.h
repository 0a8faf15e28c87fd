// What the commands share that write a model as a GGUF file.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "quantize/mix.h"

namespace fulmen {

struct GgufOutput {
  std::string file;
  const Mix* mix = nullptr;
  bool quiet = false;
  int threads = 0;
};

// Of every mix, for options that take one.
std::vector<std::string> MixNames();
// The same with what each is, for notes in a command's help.
std::string DescribeMixes();

// Writes the file, and tells of the progress. Refuses to write over the model's own files.
Status WriteGgufFile(const ModelFiles& files, const Model& model, const GgufOutput& output);

}  // namespace fulmen
