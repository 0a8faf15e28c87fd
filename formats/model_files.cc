#include "formats/model_files.h"

#include <filesystem>
#include <utility>

#include "base/file_io.h"
#include "base/file_kind.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";

}  // namespace

Result<ModelFiles> ModelFiles::Open(const std::string& path) {
  std::error_code unreadable;  // PathKind says why
  if (!fs::is_directory(path, unreadable)) {
    return Fail(ErrorCode::kNotFound,
                "{}: expected a model folder (config.json, safetensors and tokenizer files), found "
                "{}",
                path, PathKind(path));
  }
  return ModelFiles(path);
}

std::string ModelFiles::PathOf(const char* name) const { return (fs::path(path_) / name).string(); }

Result<std::optional<NamedText>> ModelFiles::ReadIfThere(const char* name) const {
  const std::string path = PathOf(name);
  std::error_code unreadable;  // as good as absent: the folder was readable a moment ago
  if (!fs::exists(path, unreadable)) return std::nullopt;
  FULMEN_ASSIGN(std::string text, ReadFile(path));
  return NamedText{std::move(text), path};
}

bool ModelFiles::has_config() const {
  std::error_code unreadable;
  return fs::exists(PathOf(kConfigName), unreadable);
}

Result<NamedJson> ModelFiles::ReadConfig() const {
  const std::string path = PathOf(kConfigName);
  std::error_code error;
  if (!fs::exists(path, error)) {
    if (error) return Fail(ErrorCode::kIo, "{}: {}", path, error.message());
    return Fail(ErrorCode::kNotFound, "{}: not a model folder, it has no {}", path_, kConfigName);
  }
  if (!fs::is_regular_file(path, error)) {
    return Fail(ErrorCode::kIo, "{}: expected a file, found {}", path, PathKind(path));
  }
  FULMEN_ASSIGN(Json json, ReadJsonFile(path));
  return NamedJson{std::move(json), path};
}

Result<std::optional<NamedJson>> ModelFiles::ReadGenerationConfig() const {
  const std::string path = PathOf("generation_config.json");
  std::error_code unreadable;  // reading will say why
  if (!fs::exists(path, unreadable) && !unreadable) return std::nullopt;
  FULMEN_ASSIGN(Json json, ReadJsonFile(path));
  return NamedJson{std::move(json), path};
}

Result<TokenizerSource> ModelFiles::ReadTokenizer() const {
  TokenizerSource source;
  source.where = path_;
  FULMEN_ASSIGN(source.tokenizer_json, ReadIfThere("tokenizer.json"));
  if (!source.tokenizer_json) {
    FULMEN_ASSIGN(source.vocab, ReadIfThere("vocab.json"));
    FULMEN_ASSIGN(source.merges, ReadIfThere("merges.txt"));
  }
  FULMEN_ASSIGN(source.tokenizer_config, ReadIfThere("tokenizer_config.json"));
  FULMEN_ASSIGN(source.added_tokens, ReadIfThere("added_tokens.json"));
  FULMEN_ASSIGN(source.chat_template, ReadIfThere("chat_template.jinja"));
  return source;
}

Result<Checkpoint> ModelFiles::OpenTensors() const { return Checkpoint::Open(path_); }

Result<std::optional<CheckpointIndex>> ModelFiles::ReadIndexOfMissing() const {
  const std::string path = PathOf(kCheckpointIndexName);
  std::error_code unreadable;
  if (!fs::exists(path, unreadable)) return std::nullopt;
  FULMEN_ASSIGN(CheckpointIndex index, ReadCheckpointIndex(path));
  if (MissingShards(path_, index).empty()) return std::nullopt;
  return index;
}

}  // namespace fulmen
