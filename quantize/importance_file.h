// Importance matrices in the files of llama.cpp: a GGUF container, as its current tools write it,
// and the binary form from before, which they still read.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"
#include "quantize/importance.h"

namespace fulmen {

// Parses untrusted bytes, the whole of a file in either form. Every number of the result is finite
// and none is negative, and the counts of an entry divide its sums. `where` names the file in
// errors.
Result<ImportanceMatrix> ParseImportance(std::span<const std::byte> file, const std::string& where);

Result<ImportanceMatrix> ReadImportance(const std::string& path);

// As GGUF. The file gets its name once whole.
Status WriteImportance(const ImportanceMatrix& importance, const std::string& path);

}  // namespace fulmen
