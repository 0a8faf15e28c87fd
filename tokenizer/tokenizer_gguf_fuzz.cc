// libFuzzer target: any bytes as a GGUF file with a tokenizer; one that loads has to encode and
// decode.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "tokenizer/tokenizer_data.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto header = fulmen::ParseGguf(std::as_bytes(std::span(data, size)), "input");
  if (!header) return 0;
  const auto tokenizer = fulmen::DataFromGguf(*header, "input");
  if (!tokenizer) return 0;
  const std::string_view text = "Hello, w\u00F6rld's  \n\n123 \xFF\xE4";
  std::vector<int32_t> ids;
  tokenizer->pre_tokenizer.ForEachPiece(
      text, false, [&](std::string_view piece) { tokenizer->bpe.Encode(piece, ids); });
  for (const int32_t id : ids) FULMEN_CHECK(tokenizer->vocabulary().Bytes(id), "token {}", id);
  return 0;
}
