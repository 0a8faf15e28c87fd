// Byte-level BPE, as Hugging Face tokenizers computes it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

class ModelFiles;      // formats/model_files.h
struct TokenizerData;  // tokenizer_data.h

// Immutable after loading and safe to share between threads.
class Tokenizer {
 public:
  // From what ModelFiles finds: tokenizer.json, or vocab.json + merges.txt; tokenizer_config.json,
  // chat_template.jinja and added_tokens.json beside them are read where present. Or from the
  // metadata of a GGUF model.
  static Result<Tokenizer> Load(const ModelFiles& files);
  // The same of what lies at `path`.
  static Result<Tokenizer> Load(const std::string& path);
  // From the text of a tokenizer.json (untrusted). `where` names it in errors.
  static Result<Tokenizer> Parse(std::string_view tokenizer_json, const std::string& where);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  enum class Markers : uint8_t {
    kParse,  // strings of special and added tokens become their ids
    kPlain,  // all text is ordinary text
  };
  // Any bytes are text: those that are no part of valid UTF-8 are characters of no class to the
  // split pattern, and Decode() gives them back. A tokenizer may put a space before each text;
  // `continues`: this one goes on where another stopped, so none is put.
  std::vector<int32_t> Encode(std::string_view text, Markers markers, bool continues = false) const;

  // Bytes at the beginning of `text`, which goes on where another stopped: their ids begin the ids
  // of every text that begins with `text`, encoded as plain text that goes on. Where nothing is
  // known of what may follow, 0.
  size_t SettledBytes(std::string_view text) const;

  // Where the strings of special and added tokens stand in `text`, from left to right.
  struct Marker {
    size_t begin;
    size_t end;
    int32_t id;
  };
  std::vector<Marker> FindMarkers(std::string_view text) const;

  // Bytes of the tokens, joined. Special tokens give their strings. May not be valid UTF-8.
  // Unknown ids are an error that names them.
  Result<std::string> Decode(std::span<const int32_t> ids) const;
  // Bytes of one token; nullopt for an id outside the vocabulary.
  std::optional<std::string_view> TokenBytes(int32_t id) const;

  // Highest id + 1, special and added tokens included.
  int64_t vocab_size() const;
  std::optional<int32_t> TokenId(
      std::string_view token) const;  // special or ordinary, by its bytes
  bool IsSpecial(int32_t id) const;
  // From tokenizer_config.json; absent when it does not say.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  // The chat template of the checkpoint (tokenizer_config.json or chat_template.jinja), or "".
  const std::string& chat_template() const;

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerData> data);
  std::unique_ptr<const TokenizerData> data_;
};

// Turns a stream of tokens into text without ever emitting half a UTF-8 character. Invalid bytes
// become U+FFFD, as in Python's errors="replace".
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // The text that became complete with this token; may be empty. Ids outside the vocabulary add
  // nothing.
  std::string Add(int32_t id);
  // What is left at the end of the stream: an unfinished character becomes U+FFFD.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace fulmen
