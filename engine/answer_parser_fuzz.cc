// libFuzzer target: any bytes as an answer, in parts of any size. The parts must make no
// difference.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "engine/answer_parser.h"
#include "engine/testing/answer_checks.h"

// The first byte is the format, the second the number of sizes that follow and are taken in turn.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using fulmen::AnswerFormat;
  using fulmen::CallFormat;
  constexpr AnswerFormat kFormats[] = {{true, CallFormat::kM1},
                                       {false, CallFormat::kM1},
                                       {false, CallFormat::kText01},
                                       {true, CallFormat::kNone},
                                       {true, CallFormat::kText01}};
  if (size < 2) return 0;
  const AnswerFormat format = kFormats[data[0] % std::size(kFormats)];
  const size_t count = data[1] % 16;
  if (size < 2 + count) return 0;
  const std::string_view sizes(reinterpret_cast<const char*>(data + 2), count);
  const std::string_view answer(reinterpret_cast<const char*>(data + 2 + count), size - 2 - count);

  const std::vector<fulmen::AnswerPiece> whole = fulmen::ParseWhole(format, answer);
  const std::string wrong = fulmen::WhatIsWrong(answer, whole);
  FULMEN_CHECK(wrong.empty(), "{}", wrong);

  size_t next = 0;
  const auto next_size = [&]() -> size_t {
    return sizes.empty() ? 1 : 1 + static_cast<uint8_t>(sizes[next++ % sizes.size()]) % 32;
  };
  FULMEN_CHECK(fulmen::ParseInParts(format, answer, next_size) == whole,
               "the pieces depend on how the answer was cut");
  return 0;
}
