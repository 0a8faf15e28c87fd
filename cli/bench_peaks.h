// fulmen bench --peak.
#pragma once

#include "base/status.h"

namespace fulmen {

// Measures what the machine can do with so many threads, and prints it.
Status BenchPeaks(int threads, bool as_json);

}  // namespace fulmen
