// Cuts text into the pieces that byte pair encoding sees one by one.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/published_split.h"
#include "tokenizer/regex.h"

namespace fulmen {

// Immutable and safe to share between threads.
class PreTokenizer {
 public:
  // The `pre_tokenizer` of a tokenizer.json: Split (Isolated) and ByteLevel, alone or in a
  // Sequence that ends with ByteLevel.
  static Result<PreTokenizer> FromJson(const Json& json, const std::string& where);
  // Of the published models.
  static PreTokenizer Published();
  bool IsPublished() const {
    return steps_.size() == 1 && std::holds_alternative<PublishedSplit>(steps_[0]);
  }

  // Bytes of the first pieces that every text has that begins with `text`, as far as is known:
  // always 0 but with the published split alone.
  size_t SettledBytes(std::string_view text) const;

  // Calls piece(std::string_view) for each piece from left to right. `continues`: the text goes on
  // where another stopped, so no space is put before it.
  template <class F>
  void ForEachPiece(std::string_view text, bool continues, const F& piece) const {
    const auto* split = steps_.size() == 1 ? std::get_if<PublishedSplit>(&steps_[0]) : nullptr;
    if (split != nullptr) {
      const char* end = text.data() + text.size();
      for (const char* begin = text.data(); begin != end;) {
        const char* piece_end = split->PieceEnd(begin, end);
        piece(std::string_view(begin, static_cast<size_t>(piece_end - begin)));
        begin = piece_end;
      }
      return;
    }
    std::deque<std::string> prefixed;
    for (const std::string_view found : RunSteps(text, continues, prefixed)) piece(found);
  }

 private:
  struct PrefixSpace {};  // a space before each piece that has none
  using Step = std::variant<PublishedSplit, Regex, std::string, PrefixSpace>;

  Status AddStep(const Json& json, bool last, const std::string& where);
  Status AddSplit(const Json& json, const std::string& where);
  Status AddByteLevel(const Json& json, const std::string& where);
  // `prefixed` owns the pieces that are not parts of `text`.
  std::vector<std::string_view> RunSteps(std::string_view text, bool continues,
                                         std::deque<std::string>& prefixed) const;

  std::vector<Step> steps_;
};

}  // namespace fulmen
