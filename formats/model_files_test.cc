#include "formats/model_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file_io.h"
#include "formats/safetensors.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

class ModelFilesTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / name, text));
  }
  ModelFiles Open() const { return ModelFiles::Open(folder_.path()).value(); }

  testing::TemporaryFolder folder_;
};

TEST_F(ModelFilesTest, NamesWhatIsNoModel) {
  EXPECT_EQ(ModelFiles::Open(folder_ / "none").error().message,
            (folder_ / "none") +
                ": expected a model folder (config.json, safetensors and tokenizer files) or a "
                ".gguf file, found nothing");
  Write("model.bin", "PK\x03\x04");
  const std::string message = ModelFiles::Open(folder_ / "model.bin").error().message;
  EXPECT_NE(message.find("or a .gguf file, found a zip archive"), std::string::npos) << message;
}

TEST_F(ModelFilesTest, AnEmptyFolderHoldsNothing) {
  const ModelFiles files = Open();
  EXPECT_EQ(files.path(), folder_.path());
  EXPECT_FALSE(files.has_config());
  EXPECT_EQ(files.ReadConfig().error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(files.ReadGenerationConfig()->has_value());
  const TokenizerSource tokenizer = files.ReadTokenizer().value();
  EXPECT_EQ(tokenizer.where, folder_.path());
  EXPECT_FALSE(tokenizer.tokenizer_json || tokenizer.vocab || tokenizer.merges ||
               tokenizer.tokenizer_config || tokenizer.added_tokens || tokenizer.chat_template);
  EXPECT_EQ(files.OpenTensors().error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(files.ReadIndexOfMissing()->has_value());
}

TEST_F(ModelFilesTest, NamesWhatItReads) {
  Write("config.json", R"({"a": 1})");
  Write("generation_config.json", R"({"b": 2})");
  Write("vocab.json", "v");
  Write("merges.txt", "m");
  Write("tokenizer_config.json", "c");
  const ModelFiles files = Open();
  EXPECT_TRUE(files.has_config());
  const NamedJson config = files.ReadConfig().value();
  EXPECT_EQ(config.json, Json({{"a", 1}}));
  EXPECT_EQ(config.where, folder_ / "config.json");
  const NamedJson generation = files.ReadGenerationConfig()->value();
  EXPECT_EQ(generation.json, Json({{"b", 2}}));
  EXPECT_EQ(generation.where, folder_ / "generation_config.json");
  const TokenizerSource bare = files.ReadTokenizer().value();
  EXPECT_FALSE(bare.tokenizer_json);
  EXPECT_EQ(bare.vocab->text, "v");
  EXPECT_EQ(bare.merges->text, "m");
  EXPECT_EQ(bare.tokenizer_config->text, "c");
  EXPECT_EQ(bare.tokenizer_config->where, folder_ / "tokenizer_config.json");
  Write("tokenizer.json", "t");
  const TokenizerSource whole = files.ReadTokenizer().value();
  EXPECT_EQ(whole.tokenizer_json->text, "t");
  EXPECT_FALSE(whole.vocab || whole.merges);
}

TEST_F(ModelFilesTest, TheIndexStandsForMissingShards) {
  Write("model.safetensors.index.json", R"({"weight_map": {"w": "a.safetensors"}})");
  const auto index = Open().ReadIndexOfMissing().value();
  ASSERT_TRUE(index);
  EXPECT_EQ(index->shard_of.at("w"), "a.safetensors");
  SafetensorsWriter writer =
      SafetensorsWriter::Create(folder_ / "a.safetensors", {{"w", DType::kF32, {1}}}).value();
  EXPECT_TRUE(writer.Write(std::vector<std::byte>(4)));
  EXPECT_TRUE(writer.Finish());
  EXPECT_FALSE(Open().ReadIndexOfMissing()->has_value());
  EXPECT_EQ(Open().OpenTensors()->tensors().count("w"), 1U);
}

// By its first bytes, whatever its name.
TEST_F(ModelFilesTest, OpensGguf) {
  Write("model", testing::GgufBuilder().Tensor("t", {2}, 0, 0).Data(std::string(8, 'x')).File());
  const ModelFiles files = ModelFiles::Open(folder_ / "model").value();
  EXPECT_EQ(files.path(), folder_ / "model");
  ASSERT_TRUE(files.gguf());
  EXPECT_TRUE(files.has_config());
  EXPECT_FALSE(files.ReadGenerationConfig()->has_value());
  EXPECT_FALSE(files.ReadIndexOfMissing()->has_value());
  EXPECT_EQ(files.ReadTokenizer()->gguf, files.gguf());
  EXPECT_FALSE(files.ReadTokenizer()->tokenizer_json);
  EXPECT_EQ(files.OpenTensors()->tensors().at("t").shape, Shape{2});
  Write("model", testing::GgufBuilder().Text("general.type", "vocab").File());
  EXPECT_FALSE(ModelFiles::Open(folder_ / "model")->has_config());
  Write("model", "GGUF\x03");
  EXPECT_EQ(ModelFiles::Open(folder_ / "model").error().message,
            (folder_ / "model") +
                ": the version needs 4 bytes at byte 4, the file has 1 left (torn file?)");
}

class MmprojFiles : public ModelFilesTest {
 protected:
  void SetUp() override {
    Write("m.gguf", Gguf("minimax-01", "text"));
    Write("other.gguf", Gguf("clip", "vision"));
  }
  static std::string Gguf(const std::string& architecture, const std::string& tensor) {
    return testing::GgufBuilder()
        .Text("general.architecture", architecture)
        .Tensor(tensor, {1}, 0, 0)
        .Data(std::string(32, 'x'))
        .File();
  }
  std::string ProblemOf(const std::string& model, const std::string& mmproj = "") const {
    const auto files = ModelFiles::Open(folder_ / model, mmproj);
    return files ? "" : files.error().message;
  }
};

TEST_F(MmprojFiles, AModelOfTextHasNone) {
  const ModelFiles files = ModelFiles::Open(folder_ / "m.gguf").value();
  EXPECT_EQ(files.mmproj(), nullptr);
  EXPECT_EQ(files.where(), folder_ / "m.gguf");
  EXPECT_EQ(files.OpenTensors()->tensors().size(), 1U);
}

TEST_F(MmprojFiles, StandBesideTheModel) {
  Write("mmproj-m.gguf", Gguf("clip", "vision"));
  const ModelFiles files = ModelFiles::Open(folder_ / "m.gguf").value();
  ASSERT_NE(files.mmproj(), nullptr);
  EXPECT_EQ(files.where(), (folder_ / "m.gguf") + " and " + (folder_ / "mmproj-m.gguf"));
  const Checkpoint tensors = files.OpenTensors().value();
  EXPECT_EQ(tensors.FileOf("text"), folder_ / "m.gguf");
  EXPECT_EQ(tensors.FileOf("vision"), folder_ / "mmproj-m.gguf");
}

TEST_F(MmprojFiles, OrWhereTheyAreSaidToBe) {
  Write("mmproj-m.gguf", "spoilt");
  const auto files = ModelFiles::Open(folder_ / "m.gguf", folder_ / "other.gguf");
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->mmproj()->where(), folder_ / "other.gguf");
  EXPECT_NE(ProblemOf("m.gguf"), "");
  EXPECT_NE(ProblemOf("m.gguf", folder_ / "none.gguf").find("none.gguf: "), std::string::npos);
}

TEST_F(MmprojFiles, MayNotHoldATensorOfTheTextHalf) {
  Write("mmproj-m.gguf", Gguf("clip", "text"));
  EXPECT_EQ(ModelFiles::Open(folder_ / "m.gguf")->OpenTensors().error().message,
            (folder_ / "mmproj-m.gguf") + ": tensor \"text\" is also in " + (folder_ / "m.gguf"));
}

TEST_F(MmprojFiles, AreTakenForNothingElse) {
  EXPECT_EQ(ProblemOf("other.gguf"),
            (folder_ / "other.gguf") +
                ": this is the vision half of a model (an mmproj file); name the file of its text "
                "half as the model, and this one with --mmproj");
  EXPECT_EQ(ProblemOf("m.gguf", folder_ / "m.gguf"),
            (folder_ / "m.gguf") + ": expected the vision half of " + (folder_ / "m.gguf") +
                ", whose general.architecture is \"clip\", found \"minimax-01\"");
  std::filesystem::create_directory(folder_ / "folder");
  EXPECT_EQ(ProblemOf("folder", "mmproj.gguf"),
            "mmproj.gguf: an mmproj file belongs to a .gguf model, and " + (folder_ / "folder") +
                " is a folder");
}

TEST(MmprojPath, IsOfTheWholeModel) {
  EXPECT_EQ(MmprojPath("m.gguf"), "mmproj-m.gguf");
  EXPECT_EQ(MmprojPath("a/b/m.Q4.gguf"), "a/b/mmproj-m.Q4.gguf");
  EXPECT_EQ(MmprojPath("/a/m-00002-of-00012.gguf"), "/a/mmproj-m.gguf");
  EXPECT_EQ(MmprojPath("m-0000x-of-00012.gguf"), "mmproj-m-0000x-of-00012.gguf");
  EXPECT_EQ(MmprojPath("-00002-of-00012.gguf"), "mmproj--00002-of-00012.gguf");
  EXPECT_EQ(MmprojPath("m"), "mmproj-m");
}

}  // namespace
}  // namespace fulmen
