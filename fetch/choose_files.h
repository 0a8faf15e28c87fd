// Which of a model's files are fetched.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fetch/listing.h"
#include "fetch/model_reference.h"

namespace fulmen {

struct FileFilter {
  std::vector<std::string> include;  // patterns; where there are any, in place of what is needed
  std::vector<std::string> exclude;  // patterns of what is left out in any case
};

// Of `files`: where the reference names a file or a pattern, these, and of a GGUF model in parts
// all parts; else what the patterns to include match; else what Fulmen needs of a model folder or,
// where there are no safetensors, the only GGUF model. Small files first. Fails where nothing is
// left, where a name cannot be a file here (CheckFileName), is listed twice, or lies in another
// file.
Result<std::vector<RemoteFile>> ChooseFiles(const std::vector<RemoteFile>& files,
                                            const ModelReference& reference,
                                            const FileFilter& filter);

}  // namespace fulmen
