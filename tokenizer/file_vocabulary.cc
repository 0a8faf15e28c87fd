#include "tokenizer/file_vocabulary.h"

#include "tokenizer/byte_level.h"

namespace fulmen {

Status FileVocabulary::Add(std::string_view spelling, int64_t id, const std::string& where) {
  if (const auto spelled = BytesFromSpelling(spelling)) return bytes.Add(*spelled, id, where);
  others.emplace_back(spelling, id);
  return {};
}

Result<Merge> MergeFromSpelling(std::string_view left, std::string_view right, size_t number,
                                const std::string& where) {
  auto left_bytes = BytesFromSpelling(left);
  auto right_bytes = BytesFromSpelling(right);
  if (!left_bytes || !right_bytes) {
    return Fail(ErrorCode::kUnsupported,
                "{}: merge {} ('{}', '{}') is not written in the byte alphabet: only byte-level "
                "vocabularies are supported",
                where, number, left, right);
  }
  return Merge(*std::move(left_bytes), *std::move(right_bytes));
}

Result<Merge> MergeFromLine(std::string_view line, size_t number, const std::string& where) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return Fail(ErrorCode::kCorrupt, "{}: merge {} should be two tokens with a space between: '{}'",
                where, number, line);
  }
  return MergeFromSpelling(line.substr(0, space), line.substr(space + 1), number, where);
}

Result<TokenizerData> BuildData(FileVocabulary vocabulary, const Merges& merges, bool ignore_merges,
                                const std::string& where) {
  TokenizerData data;
  FULMEN_ASSIGN(data.bpe, Bpe::Build(std::move(vocabulary.bytes), merges, ignore_merges, where));
  for (const auto& [spelling, id] : vocabulary.others) {
    FULMEN_TRY(data.bpe.vocabulary().Add(spelling, id, where));
  }
  return data;
}

}  // namespace fulmen
