// What the metadata of an mmproj file says about a model's vision half.
#pragma once

#include "base/status.h"
#include "formats/gguf_model.h"
#include "model/config.h"

namespace fulmen {

// What clip.projector_type says of ours; llama.cpp knows no vision half like it.
inline constexpr std::string_view kProjectorType = "minimax-vl-01";

// Untrusted input, checked as ParseVisionConfig() does, and against the text half it is to be read
// with, whose vision half is of no meaning.
Result<VisionConfig> VisionFromGguf(const GgufModel& mmproj, const Config& text);

}  // namespace fulmen
