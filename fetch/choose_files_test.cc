#include "fetch/choose_files.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace fulmen {
namespace {

std::vector<RemoteFile> Listed(const std::vector<std::string>& paths) {
  std::vector<RemoteFile> files;
  for (const std::string& path : paths) files.push_back({path, 1, {}});
  return files;
}

// The paths that are chosen, or the error.
std::vector<std::string> Choose(const std::vector<std::string>& paths, const std::string& file = "",
                                const FileFilter& filter = {}) {
  const auto chosen = ChooseFiles(Listed(paths), {"a", "b", file}, filter);
  if (!chosen) return {"error: " + chosen.error().message};
  std::vector<std::string> names;
  for (const RemoteFile& each : *chosen) names.push_back(each.path);
  return names;
}

using Paths = std::vector<std::string>;

TEST(ChooseFiles, WhatAModelNeeds) {
  EXPECT_EQ(Choose({"README.md", ".gitattributes", "config.json", "generation_config.json",
                    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
                    "chat_template.jinja", "model.safetensors.index.json",
                    "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                    "consolidated.safetensors", "original/model.safetensors", "pytorch_model.bin",
                    "figures/a.png", "modeling_minimax.py"}),
            (Paths{"chat_template.jinja", "config.json", "generation_config.json", "merges.txt",
                   "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                   "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
                   "vocab.json"}));
  EXPECT_EQ(Choose({"config.json", "model.safetensors"}),
            (Paths{"config.json", "model.safetensors"}));
}

TEST(ChooseFiles, SmallOnesFirst) {
  std::vector<RemoteFile> files = Listed({"a.safetensors", "config.json"});
  files[0].size = int64_t{5} << 30;
  EXPECT_EQ(ChooseFiles(files, {"a", "b", ""}, {})->front().path, "config.json");
}

TEST(ChooseFiles, TheOnlyGgufModel) {
  EXPECT_EQ(Choose({"README.md", "m-00002-of-00002.gguf", "m-00001-of-00002.gguf"}),
            (Paths{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}));
  EXPECT_EQ(Choose({"x-Q4_0.gguf", "q8/x-00001-of-00001.gguf"}),
            Paths{"error: a/b has 2 GGUF models, of which one should be named (a/b:FILE): "
                  "q8/x-00001-of-00001.gguf, x-Q4_0.gguf"});
  EXPECT_EQ(Choose({"README.md"}),
            Paths{"error: a/b has neither .safetensors nor .gguf files; --include PATTERN fetches "
                  "others"});
}

TEST(ChooseFiles, TheVisionHalfOfAGgufModel) {
  const Paths all = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "mmproj-m.gguf",
                     "mmproj-other.gguf"};
  const Paths both = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "mmproj-m.gguf"};
  EXPECT_EQ(Choose(all), both);
  EXPECT_EQ(Choose(all, "m-00002-of-00002.gguf"), both);
  EXPECT_EQ(Choose({"q/m.gguf", "q/mmproj-m.gguf", "mmproj-m.gguf"}),
            (Paths{"q/m.gguf", "q/mmproj-m.gguf"}));
  EXPECT_EQ(Choose(all, "mmproj-other.gguf"), Paths{"mmproj-other.gguf"});
}

TEST(ChooseFiles, NamedOnes) {
  const Paths all = {"config.json", "x-Q4_0.gguf", "q8/x-00001-of-00002.gguf",
                     "q8/x-00002-of-00002.gguf", "lost-00001-of-00002.gguf"};
  EXPECT_EQ(Choose(all, "config.json"), Paths{"config.json"});
  EXPECT_EQ(Choose(all, "q8/x-00002-of-00002.gguf"),
            (Paths{"q8/x-00001-of-00002.gguf", "q8/x-00002-of-00002.gguf"}));
  EXPECT_EQ(Choose(all, "*q8*1-of*"),
            (Paths{"q8/x-00001-of-00002.gguf", "q8/x-00002-of-00002.gguf"}));
  EXPECT_EQ(Choose(all, "x-Q4_1.gguf"),
            Paths{"error: a/b has no file x-Q4_1.gguf; did you mean x-Q4_0.gguf?"});
  EXPECT_EQ(Choose(all, "*Q2*"), Paths{"error: a/b has no file *Q2*"});
  EXPECT_EQ(Choose(all, "lost*"), Paths{"error: lost-00001-of-00002.gguf is one of 2 files, but "
                                        "lost-00002-of-00002.gguf is not listed"});
}

TEST(ChooseFiles, Filters) {
  const Paths all = {"config.json", "model.safetensors", "docs/a.md"};
  EXPECT_EQ(Choose(all, "", {.include = {"*.md", "config*"}, .exclude = {}}),
            (Paths{"config.json", "docs/a.md"}));
  EXPECT_EQ(Choose(all, "", {.include = {}, .exclude = {"*.safetensors"}}), Paths{"config.json"});
  EXPECT_EQ(Choose(all, "", {.include = {"*"}, .exclude = {"*"}}),
            Paths{"error: none of the 3 files of a/b is chosen"});
}

TEST(ChooseFiles, RefusesNamesThatWouldDoHarm) {
  const FileFilter all = {.include = {"*"}, .exclude = {}};
  EXPECT_EQ(Choose({"x", "../y"}, "", all),
            Paths{"error: \"../y\" cannot be the name of a file here: it has . or .. in it"});
  EXPECT_EQ(Choose({"x", "x"}, "", all), Paths{"error: x is listed twice"});
  EXPECT_EQ(Choose({"x/y", "x"}, "", all), Paths{"error: x is listed as a file and as a folder"});
  // What is not wanted does no harm.
  EXPECT_EQ(Choose({"config.json", "m.safetensors", "../y"}),
            (Paths{"config.json", "m.safetensors"}));
}

}  // namespace
}  // namespace fulmen
