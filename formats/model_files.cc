#include "formats/model_files.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "base/check.h"
#include "base/file_io.h"
#include "base/file_kind.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";

bool IsGguf(const std::string& path) {
  std::error_code unreadable;
  if (!fs::is_regular_file(path, unreadable)) return false;
  std::string start(kGgufMagic.size(), '\0');
  std::ifstream(path, std::ios::binary)
      .read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == kGgufMagic;
}

// "" where it is no string.
std::string_view ArchitectureOf(const GgufModel& model) {
  return model.header().FindString("general.architecture", model.where()).value_or("");
}

Result<std::shared_ptr<const GgufModel>> OpenText(const std::string& path) {
  FULMEN_ASSIGN(GgufModel model, OpenGguf(path));
  if (ArchitectureOf(model) != kMmprojArchitecture) {
    return std::make_shared<const GgufModel>(std::move(model));
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{}: this is the vision half of a model (an mmproj file); name the file of its text "
              "half as the model, and this one with --mmproj",
              path);
}

// nullptr where none is named and none stands beside the model.
Result<std::shared_ptr<const GgufModel>> OpenMmproj(const std::string& named,
                                                    const std::string& model) {
  const std::string path = named.empty() ? MmprojPath(model) : named;
  std::error_code unreadable;  // opening says why
  if (named.empty() && !fs::exists(path, unreadable) && !unreadable) return nullptr;
  FULMEN_ASSIGN(GgufModel mmproj, OpenGguf(path));
  if (ArchitectureOf(mmproj) == kMmprojArchitecture) {
    return std::make_shared<const GgufModel>(std::move(mmproj));
  }
  return Fail(ErrorCode::kUnsupported,
              "{}: expected the vision half of {}, whose general.architecture is \"{}\", found {}",
              path, model, kMmprojArchitecture, Shown(Json(ArchitectureOf(mmproj))));
}

}  // namespace

Result<ModelFiles> ModelFiles::Open(const std::string& path, const std::string& mmproj) {
  if (IsGguf(path)) {
    ModelFiles files(path);
    FULMEN_ASSIGN(files.gguf_, OpenText(path));
    FULMEN_ASSIGN(files.mmproj_, OpenMmproj(mmproj, path));
    return files;
  }
  std::error_code unreadable;  // PathKind says why
  if (!fs::is_directory(path, unreadable)) {
    return Fail(ErrorCode::kNotFound,
                "{}: expected a model folder (config.json, safetensors and tokenizer files) or a "
                ".gguf file, found {}",
                path, PathKind(path));
  }
  if (!mmproj.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: an mmproj file belongs to a .gguf model, and {} is a folder", mmproj, path);
  }
  return ModelFiles(path);
}

std::string ModelFiles::where() const {
  return mmproj_ ? fmt::format("{} and {}", path_, mmproj_->where()) : path_;
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
  if (gguf_) return !gguf_->header().tensors.empty() || gguf_->parts.size() > 1;
  std::error_code unreadable;
  return fs::exists(PathOf(kConfigName), unreadable);
}

Result<NamedJson> ModelFiles::ReadConfig() const {
  FULMEN_CHECK(!gguf_, "{} has no config.json", path_);
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
  return ReadJsonIfThere("generation_config.json");
}

Result<std::optional<NamedJson>> ModelFiles::ReadPreprocessorConfig() const {
  return ReadJsonIfThere("preprocessor_config.json");
}

Result<std::optional<NamedJson>> ModelFiles::ReadJsonIfThere(const char* name) const {
  if (gguf_) return std::nullopt;
  const std::string path = PathOf(name);
  std::error_code unreadable;  // reading will say why
  if (!fs::exists(path, unreadable) && !unreadable) return std::nullopt;
  FULMEN_ASSIGN(Json json, ReadJsonFile(path));
  return NamedJson{std::move(json), path};
}

Result<TokenizerSource> ModelFiles::ReadTokenizer() const {
  TokenizerSource source;
  source.where = path_;
  source.gguf = gguf_;
  if (gguf_) return source;
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

Result<Checkpoint> ModelFiles::OpenTensors() const {
  if (!gguf_) return Checkpoint::Open(path_);
  std::vector<std::shared_ptr<const GgufModel>> models = {gguf_};
  if (mmproj_) models.push_back(mmproj_);
  return Checkpoint::OfGguf(std::move(models));
}

Result<std::optional<CheckpointIndex>> ModelFiles::ReadIndexOfMissing() const {
  if (gguf_) return std::nullopt;
  const std::string path = PathOf(kCheckpointIndexName);
  std::error_code unreadable;
  if (!fs::exists(path, unreadable)) return std::nullopt;
  FULMEN_ASSIGN(CheckpointIndex index, ReadCheckpointIndex(path));
  if (MissingShards(path_, index).empty()) return std::nullopt;
  return index;
}

}  // namespace fulmen
