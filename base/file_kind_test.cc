#include "base/file_kind.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

using namespace std::string_view_literals;

TEST(FileKind, NamesWhatIsOftenTakenForAnother) {
  EXPECT_EQ(FileKind("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
            "a Git LFS pointer (git lfs pull fetches the file it stands for)");
  EXPECT_EQ(FileKind("GGUF\x03\0\0\0"sv), "a GGUF file");
  EXPECT_EQ(FileKind("PK\x03\x04..."), "a zip archive, as PyTorch writes them (.bin, .pt, .pth)");
  EXPECT_EQ(FileKind("\x80\x02}q"), "a Python pickle, as PyTorch writes them (.bin, .pt, .pth)");
  EXPECT_EQ(FileKind("\xFF\xFE{\0"sv), "text in UTF-16");
  EXPECT_EQ(FileKind("<!DOCTYPE html><html>"), "a web page");
  EXPECT_EQ(FileKind("\x80\x02\0\0\0\0\0\0{\"a\""sv), "a safetensors file");
  EXPECT_EQ(FileKind(""), "an empty file");
}

TEST(FileKind, SaysNothingOfTheRest) {
  EXPECT_EQ(FileKind("{\"architectures\": []}"), "");
  EXPECT_EQ(FileKind("version 2"), "");
  EXPECT_EQ(FileKind("G"), "");
  EXPECT_EQ(FileKind("\0\0\0\0\0\0\0\0"sv), "");
}

}  // namespace
}  // namespace fulmen
