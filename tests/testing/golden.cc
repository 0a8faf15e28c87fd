#include "tests/testing/golden.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "base/file_io.h"

namespace fulmen::testing {

namespace fs = std::filesystem;

std::string SourcePath(const std::string& relative) {
  return std::string(FULMEN_SOURCE_DIR) + "/" + relative;
}

std::string SharedRoot() {
  const char* named = std::getenv("FULMEN_SHARED");
  const fs::path root = named != nullptr ? named : SourcePath("../shared");
  return fs::is_directory(root / "golden") ? fs::weakly_canonical(root).string() : "";
}

std::string GoldenFolder(const std::string& name) {
  if (const std::string shared = SharedRoot(); !shared.empty()) return shared + "/golden/" + name;
  const fs::path compact = fs::path(SourcePath("tests/golden")) / name;
  return fs::is_directory(compact) ? compact.string() : "";
}

void CopyGoldenModel(const std::string& name, const std::string& folder) {
  const std::string golden = GoldenFolder(name);
  FULMEN_CHECK(!golden.empty(), "no golden {}", name);
  for (const char* file :
       {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}) {
    fs::copy_file(golden + "/" + file, folder + "/" + file);
  }
}

std::string ReadFileOrDie(const std::string& path) {
  Result<std::string> contents = ReadFile(path);
  FULMEN_CHECK(contents.has_value(), "{}", contents.error().message);
  return *std::move(contents);
}

TemporaryFolder::TemporaryFolder() {
  path_ = (fs::temp_directory_path() / "fulmen-test-XXXXXX").string();
  FULMEN_CHECK(mkdtemp(path_.data()) != nullptr, "cannot make {}", path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace fulmen::testing
