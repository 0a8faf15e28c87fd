// Where the model lies that a command was told to use.
#pragma once

#include <string>

#include "base/status.h"
#include "fetch/model_reference.h"
#include "formats/model_files.h"

namespace fulmen {

// The folder or file that `named` means: itself where it is there; else, of the form
// OWNER/NAME[:FILE], what `fulmen pull` brought under that name; empty: the default model.
Result<std::string> ModelPath(const std::string& named);
// The files there; `mmproj` as ModelFiles::Open() takes it.
Result<ModelFiles> OpenModelFiles(const std::string& named, const std::string& mmproj = "");

// Where `fulmen pull` puts a model: in $FULMEN_MODELS, else in fulmen/models of $XDG_DATA_HOME or
// of ~/.local/share.
Result<std::string> PulledModelFolder(const ModelReference& model);

// What of a pulled model's folder is to be opened: the folder where it has a config.json, else the
// GGUF file that the reference names, or the only one.
Result<std::string> PulledModelPath(const std::string& folder, const ModelReference& model);

}  // namespace fulmen
