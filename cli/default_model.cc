#include "cli/default_model.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace fulmen {

namespace fs = std::filesystem;

namespace {

// The folder of models/ that holds the embedded model.
constexpr const char* kEmbeddedModel = "fulmen-nano";

}  // namespace

Result<std::string> DefaultModelPath() {
  const char* named = std::getenv("FULMEN_MODEL");
  if (named != nullptr && *named != '\0') return std::string(named);

  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (error) {
    return Fail(ErrorCode::kIo,
                "cannot tell where this program lies (/proc/self/exe: {}): name a "
                "model with -m or FULMEN_MODEL",
                error.message());
  }
  // A build folder lies at most a few levels below the source tree.
  constexpr int kLevels = 4;
  fs::path folder = binary.parent_path();
  for (int level = 0; level < kLevels && folder.has_relative_path(); ++level) {
    for (const char* models : {"models", "share/fulmen/models"}) {
      const fs::path model = folder / models / kEmbeddedModel;
      if (fs::is_regular_file(model / "config.json", error)) return model.string();
    }
    folder = folder.parent_path();
  }
  return Fail(
      ErrorCode::kNotFound,
      "no model was named, and the one that comes with Fulmen (models/{}) is neither beside "
      "nor above {}: name one with -m or FULMEN_MODEL",
      kEmbeddedModel, binary.parent_path().string());
}

}  // namespace fulmen
