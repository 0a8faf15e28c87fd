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
  // Where the importance of columns comes from; both empty: all count alike.
  std::string imatrix;    // a file that has it
  std::string calibrate;  // a text to measure it on
};

// Of every mix, for options that take one.
std::vector<std::string> MixNames();
// The same with what each is, for notes in a command's help.
std::string DescribeMixes();

// --calibrate and --imatrix.
void AddImportanceOptions(Command& command, GgufOutput& output);

// Writes the file, and tells of the progress. Refuses to write over the model's own files.
// What of the importance is missing goes to standard error.
Status WriteGgufFile(const ModelFiles& files, const Model& model, const GgufOutput& output);

}  // namespace fulmen
