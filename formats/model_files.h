// The files of one model, found in one place: what holds the tensors, the config and the tokenizer,
// and where each came from. That is a folder of safetensors with JSON files beside them, or a GGUF
// file, split or not, whose metadata has what those files say. The vision half of a GGUF model is a
// GGUF file of its own, which llama.cpp calls mmproj.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "formats/checkpoint.h"

namespace fulmen {

// `where` names the source in errors.
struct NamedText {
  std::string text;
  std::string where;
};
struct NamedJson {
  Json json;
  std::string where;
};

// What a tokenizer is made of, unparsed: tokenizer.json, or vocab.json and merges.txt, and what
// stands beside either; or the metadata of a GGUF model.
struct TokenizerSource {
  std::string where;
  std::shared_ptr<const GgufModel> gguf;  // then there is nothing else
  std::optional<NamedText> tokenizer_json;
  std::optional<NamedText> vocab;  // as `merges`, not looked for beside tokenizer.json
  std::optional<NamedText> merges;
  std::optional<NamedText> tokenizer_config;
  std::optional<NamedText> added_tokens;
  std::optional<NamedText> chat_template;
};

// Immutable, cheap to copy and safe to share between threads. Of a folder nothing is read before it
// is asked for, so it may hold a tokenizer alone, or all but the weights; of a GGUF file all that
// stands before the tensors' bytes is.
class ModelFiles {
 public:
  // Fails where `path` is neither a folder nor a GGUF file of a model's text half. `mmproj` is the
  // file of the vision half of a GGUF model; empty: the one at MmprojPath(), if there is one.
  static Result<ModelFiles> Open(const std::string& path, const std::string& mmproj = "");

  const std::string& path() const { return path_; }
  // The files that hold tensors, for errors.
  std::string where() const;
  // nullptr for a folder.
  const std::shared_ptr<const GgufModel>& gguf() const { return gguf_; }
  // nullptr for a folder, and for a model of text.
  const std::shared_ptr<const GgufModel>& mmproj() const { return mmproj_; }

  // A GGUF file may hold a tokenizer alone, too.
  bool has_config() const;
  // config.json of a folder; fails where there is none.
  Result<NamedJson> ReadConfig() const;
  // generation_config.json; nullopt where there is none.
  Result<std::optional<NamedJson>> ReadGenerationConfig() const;
  // preprocessor_config.json, which says what becomes of images; nullopt where there is none.
  Result<std::optional<NamedJson>> ReadPreprocessorConfig() const;
  // Any part may be missing.
  Result<TokenizerSource> ReadTokenizer() const;
  Result<Checkpoint> OpenTensors() const;
  // The list of all tensors, of a model some of whose shards are not here; else nullopt.
  Result<std::optional<CheckpointIndex>> ReadIndexOfMissing() const;

 private:
  explicit ModelFiles(std::string path) : path_(std::move(path)) {}
  // Of a file of the folder.
  std::string PathOf(const char* name) const;
  Result<std::optional<NamedText>> ReadIfThere(const char* name) const;
  Result<std::optional<NamedJson>> ReadJsonIfThere(const char* name) const;

  std::string path_;
  std::shared_ptr<const GgufModel> gguf_;
  std::shared_ptr<const GgufModel> mmproj_;
};

}  // namespace fulmen
