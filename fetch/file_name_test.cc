#include "fetch/file_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fetch/model_reference.h"

namespace fulmen {
namespace {

TEST(FileName, StaysInItsFolder) {
  for (const char* path :
       {"config.json", "a/b/c.gguf", "...", "a..b", ".hidden", "ä ö.json", "-"}) {
    EXPECT_TRUE(CheckFileName(path)) << path;
  }
  const std::vector<std::string> bad = {"",
                                        "/",
                                        "/etc/passwd",
                                        "..",
                                        "../x",
                                        "a/../x",
                                        "a/..",
                                        "./x",
                                        "a//b",
                                        "a/",
                                        "a\\b",
                                        "..\\x",
                                        std::string("a\0b", 3),
                                        "a\nb",
                                        "\x7F",
                                        "\xFF",
                                        ".fulmen-pull",
                                        ".fulmen-pull/manifest.json",
                                        "a/.fulmen-pull/x",
                                        std::string(241, 'a'),
                                        std::string(200, 'a') + "/" + std::string(1000, 'b')};
  for (const std::string& path : bad) {
    const Status status = CheckFileName(path);
    ASSERT_FALSE(status) << path;
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  }
  EXPECT_EQ(CheckFileName("a/../x").error().message,
            "\"a/../x\" cannot be the name of a file here: it has . or .. in it");
}

TEST(FileName, SplitModels) {
  const auto split = ParseSplitName("q4/M-1-00002-of-00012.gguf");
  ASSERT_TRUE(split);
  EXPECT_EQ(split->part, 2);
  EXPECT_EQ(split->parts, 12);
  EXPECT_EQ(split->PathOf(11), "q4/M-1-00011-of-00012.gguf");
  for (const char* path :
       {"", "m.gguf", "-00001-of-00002.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
        "m-00001-of-00000.gguf", "m-0000a-of-00002.gguf", "m-00001-of-00002.safetensors",
        "m-00001-of--0002.gguf", "m_00001-of-00002.gguf"}) {
    EXPECT_FALSE(ParseSplitName(path)) << path;
  }
}

TEST(ModelReference, OwnerNameAndFile) {
  const auto plain = ParseModelReference("MiniMaxAI/MiniMax-M1-80k");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->model(), "MiniMaxAI/MiniMax-M1-80k");
  EXPECT_EQ(plain->file, "");
  const auto file = ParseModelReference("a_b/c.d:q4/*Q4_K_M*.gguf");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->owner, "a_b");
  EXPECT_EQ(file->name, "c.d");
  EXPECT_EQ(file->file, "q4/*Q4_K_M*.gguf");
  const std::vector<std::string> bad = {"",
                                        "a",
                                        "a/",
                                        "/a",
                                        "a/b/c",
                                        "../b",
                                        "a/..",
                                        "./b",
                                        "a/b c",
                                        "a/b:",
                                        "a/b:../c",
                                        "a/b:/c",
                                        std::string("a\0/b", 4),
                                        "ä/b",
                                        std::string(97, 'a') + "/b",
                                        "https://huggingface.co/a/b"};
  for (const std::string& text : bad) {
    EXPECT_FALSE(ParseModelReference(text)) << text;
  }
}

}  // namespace
}  // namespace fulmen
