// The published vocabulary, for tests: loaded once, rebuilt from its merge list.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// vocab.json and merges.txt: ids 0 to 255 are the bytes, 256 + i is what merge i makes.
inline void WriteMinimaxVocabulary(const std::string& merges, const std::string& folder) {
  std::string vocab = "{";
  int id = 0;
  const auto add = [&](const std::string& spelling) {
    vocab += (id == 0 ? "" : ", ") + Json(spelling).dump() + ": " + std::to_string(id);
    ++id;
  };
  for (int byte = 0; byte < 256; ++byte) {
    add(SpellingFromBytes(std::string(1, static_cast<char>(byte))));
  }
  for (size_t begin = merges.find('\n') + 1; begin < merges.size();) {  // past "#version"
    const size_t end = std::min(merges.find('\n', begin), merges.size());
    std::string line = merges.substr(begin, end - begin);
    line.erase(line.find(' '), 1);
    add(line);
    begin = end + 1;
  }
  ASSERT_TRUE(WriteFileAtomically(folder + "/vocab.json", vocab + "}"));
  ASSERT_TRUE(WriteFileAtomically(folder + "/merges.txt", merges));
}

// nullptr when the golden is absent.
inline const Tokenizer* MinimaxTokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = []() -> std::unique_ptr<Tokenizer> {
    const std::string golden = testing::GoldenFolder("tokenizer/minimax");
    if (golden.empty()) return nullptr;
    const testing::TemporaryFolder folder;
    WriteMinimaxVocabulary(testing::ReadFileOrDie(golden + "/merges.txt"), folder.path());
    Result<Tokenizer> loaded = Tokenizer::Load(folder.path());
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
    return loaded ? std::make_unique<Tokenizer>(*std::move(loaded)) : nullptr;
  }();
  return tokenizer.get();
}

inline Json ReadGoldenJson(const std::string& path) {
  Result<Json> json = ParseJson(testing::ReadFileOrDie(path), path);
  EXPECT_TRUE(json.has_value());
  return json ? *json : Json();
}

}  // namespace fulmen
