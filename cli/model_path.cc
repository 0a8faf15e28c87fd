#include "cli/model_path.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "cli/default_model.h"
#include "cli/environment.h"
#include "fetch/file_name.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// Files below `folder` that `glob` matches, but vision halves and what pulls keep for themselves;
// of split models the first parts.
std::set<std::string> FindFiles(const fs::path& folder, const std::string& glob) {
  std::set<std::string> found;
  std::error_code ended;
  for (fs::recursive_directory_iterator it(folder, ended), end; !ended && it != end;
       it.increment(ended)) {
    if (it->path().filename() == kPullFolder) {
      it.disable_recursion_pending();
      continue;
    }
    std::string name = it->path().lexically_relative(folder).string();
    if (!MatchesGlob(glob, name) || IsMmprojName(name) || !it->is_regular_file(ended)) continue;
    const auto split = ParseSplitName(name);
    found.insert(split ? split->PathOf(1) : std::move(name));
  }
  return found;
}

}  // namespace

Result<std::string> PulledModelFolder(const ModelReference& model) {
  fs::path models = EnvironmentVariable("FULMEN_MODELS");
  if (models.empty()) {
    // The rules of the XDG base directories: a relative path counts as none.
    if (const fs::path data = EnvironmentVariable("XDG_DATA_HOME"); data.is_absolute()) {
      models = data / "fulmen/models";
    } else if (const fs::path home = EnvironmentVariable("HOME"); home.is_absolute()) {
      models = home / ".local/share/fulmen/models";
    } else {
      return Fail(ErrorCode::kInvalidArgument,
                  "none of FULMEN_MODELS, XDG_DATA_HOME and HOME says where models are kept");
    }
  }
  return (models / model.owner / model.name).string();
}

Result<std::string> PulledModelPath(const std::string& folder, const ModelReference& model) {
  std::error_code error;
  const std::string glob = model.file.empty() ? "*.gguf" : model.file;
  if (!model.file.empty()) {
    const fs::path file = fs::path(folder) / model.file;
    if (fs::is_regular_file(file, error)) return file.string();
  } else if (fs::exists(fs::path(folder) / "config.json", error)) {
    return folder;
  }
  const std::set<std::string> found = FindFiles(folder, glob);
  if (found.size() == 1) return (fs::path(folder) / *found.begin()).string();
  if (found.empty()) {
    return Fail(ErrorCode::kNotFound, "{} has no {}", folder,
                model.file.empty() ? "config.json or .gguf file" : model.file);
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{} has {} models, of which one should be named ({}:FILE): {}", folder, found.size(),
              model.model(), fmt::join(found, ", "));
}

Result<std::string> ModelPath(const std::string& named) {
  std::string path = named;
  if (path.empty()) {
    FULMEN_ASSIGN(path, DefaultModelPath());
  }
  std::error_code unreadable;  // whoever opens it says why
  const fs::file_type type = fs::status(path, unreadable).type();
  if (type != fs::file_type::not_found) return path;
  const Result<ModelReference> model = ParseModelReference(path);
  if (!model) return path;
  const Result<std::string> folder = PulledModelFolder(*model);
  if (folder && fs::is_directory(*folder, unreadable)) {
    Result<std::string> pulled = PulledModelPath(*folder, *model);
    if (pulled) return pulled;
    return Fail(pulled.error().code, "{} (`fulmen pull {}` fetches what is missing)",
                pulled.error().message, path);
  }
  return Fail(
      ErrorCode::kNotFound,
      "{}: expected a model folder (config.json, safetensors and tokenizer files) or a "
      ".gguf file, found nothing; if it is the name of a model, `fulmen pull {}` fetches it",
      path, path);
}

Result<ModelFiles> OpenModelFiles(const std::string& named, const std::string& mmproj) {
  FULMEN_ASSIGN(const std::string path, ModelPath(named));
  return ModelFiles::Open(path, mmproj);
}

}  // namespace fulmen
