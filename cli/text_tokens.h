// Texts that commands read as tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/model_files.h"
#include "model/config.h"

namespace fulmen {

// The file, "-" for standard input, as plain text in the model's tokens. Fails where the tokenizer
// gives one that the model does not have.
Result<std::vector<int32_t>> ReadTextTokens(const std::string& path, const ModelFiles& files,
                                            const Config& config);

}  // namespace fulmen
