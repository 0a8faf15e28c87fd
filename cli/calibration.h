// What the commands share that measure the importance of columns on a text.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "quantize/calibrate.h"

namespace fulmen {

struct CalibrationOptions {
  std::string text;  // path; "-" is standard input
  int64_t context = kCalibrationChunk;
  int threads = 0;
  bool quiet = false;
};

// Has the model read the text, and tells of the progress.
Result<ImportanceMatrix> CalibrateOn(const ModelFiles& files, const Model& model,
                                     const CalibrationOptions& options);

// Says what counts alike for want of numbers.
void SayGaps(const ImportanceMatrix& importance, const Model& model);

// Before long work: fails where no file can be made at `path`.
Status CheckCanBeWritten(const std::string& path);

}  // namespace fulmen
