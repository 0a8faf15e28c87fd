// The files of one model, found in one place: what holds the tensors, the config and the tokenizer,
// and where each came from. Today that is a folder of safetensors with JSON files beside them; a
// single file that carries its config and tokenizer would be opened here, too, and give the same.
#pragma once

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
// stands beside either.
struct TokenizerSource {
  std::string where;
  std::optional<NamedText> tokenizer_json;
  std::optional<NamedText> vocab;  // as `merges`, not looked for beside tokenizer.json
  std::optional<NamedText> merges;
  std::optional<NamedText> tokenizer_config;
  std::optional<NamedText> added_tokens;
  std::optional<NamedText> chat_template;
};

// Immutable, cheap to copy and safe to share between threads. Nothing is read before it is asked
// for, so a folder may hold a tokenizer alone, or all but the weights.
class ModelFiles {
 public:
  // Fails where `path` is no folder.
  static Result<ModelFiles> Open(const std::string& path);

  const std::string& path() const { return path_; }

  bool has_config() const;
  // Fails where there is none.
  Result<NamedJson> ReadConfig() const;
  // generation_config.json; nullopt where there is none.
  Result<std::optional<NamedJson>> ReadGenerationConfig() const;
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

  std::string path_;
};

}  // namespace fulmen
