// libFuzzer target: any bytes as a tokenizer.json; one that loads has to encode and decode.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using fulmen::Tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::Parse(input, "input");
  if (!tokenizer) return 0;
  const std::string_view texts[] = {"", "Hello, w\u00F6rld's  \n\n123 \xFF\xE4",
                                    input.substr(0, 256)};
  for (const std::string_view text : texts) {
    for (const auto markers : {Tokenizer::Markers::kParse, Tokenizer::Markers::kPlain}) {
      const auto decoded = tokenizer->Decode(tokenizer->Encode(text, markers));
      FULMEN_CHECK(decoded.has_value(), "{}", decoded.error().message);
    }
  }
  return 0;
}
