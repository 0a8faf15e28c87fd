#include "formats/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "formats/safetensors.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// One F32 tensor of two elements per name, holding 0, 1, 2, ... in order.
void WriteTensors(const std::string& path, const std::vector<std::string>& names) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const std::string& name : names) declarations.push_back({name, DType::kF32, {2}});
  SafetensorsWriter writer = SafetensorsWriter::Create(path, declarations).value();
  for (size_t i = 0; i < 2 * names.size(); ++i) {
    const auto value = static_cast<float>(i);
    ASSERT_TRUE(writer.Write(std::as_bytes(std::span(&value, 1))));
  }
  ASSERT_TRUE(writer.Finish());
}

void WriteText(const std::string& path, const std::string& text) {
  ASSERT_TRUE(WriteFileAtomically(path, text));
}

std::string CheckpointProblem(const std::string& path) {
  const Result<Checkpoint> checkpoint = Checkpoint::Open(path);
  return checkpoint ? "" : checkpoint.error().message;
}

TEST(Checkpoint, OpensOneFileOrAFolderWithOne) {
  const testing::TemporaryFolder folder;
  WriteTensors(folder / "any.safetensors", {"b", "a"});
  for (const std::string& path : {folder.path(), folder / "any.safetensors"}) {
    const Checkpoint checkpoint = Checkpoint::Open(path).value();
    ASSERT_EQ(checkpoint.tensors().size(), 2U);
    EXPECT_EQ(LoadFloat(DType::kF32, checkpoint.tensors().at("a").data, 1), 3.0F);
    EXPECT_EQ(checkpoint.total_bytes(), 16U);
    EXPECT_EQ(fs::path(checkpoint.FileOf("a")).filename(), "any.safetensors");
  }
  WriteTensors(folder / "other.safetensors", {"c"});
  EXPECT_NE(CheckpointProblem(folder.path()).find("found 2 .safetensors files"), std::string::npos);
  WriteTensors(folder / "model.safetensors", {"d"});
  EXPECT_EQ(Checkpoint::Open(folder.path()).value().tensors().count("d"), 1U);
}

TEST(Checkpoint, OpensShards) {
  const testing::TemporaryFolder folder;
  WriteTensors(folder / "1.safetensors", {"a", "b"});
  WriteTensors(folder / "2.safetensors", {"c"});
  const std::string index = folder / kCheckpointIndexName;
  WriteText(index, R"({"metadata": {"total_size": 24.0}, "weight_map": {"a": "1.safetensors",
                       "b": "1.safetensors", "c": "2.safetensors"}})");
  Checkpoint opened = Checkpoint::Open(folder.path()).value();
  const Checkpoint checkpoint = std::move(opened);
  EXPECT_EQ(checkpoint.tensors().size(), 3U);
  EXPECT_EQ(LoadFloat(DType::kF32, checkpoint.tensors().at("b").data, 0), 2.0F);
  EXPECT_EQ(ReadCheckpointIndex(index).value().total_size, 24U);

  WriteText(index, R"({"weight_map": {"a": "1.safetensors", "z": "2.safetensors"}})");
  EXPECT_NE(CheckpointProblem(folder.path()).find("tensor \"z\" is not in 2.safetensors"),
            std::string::npos);
  WriteText(index, R"({"weight_map": {"a": "2.safetensors", "c": "1.safetensors"}})");
  EXPECT_NE(CheckpointProblem(folder.path()).find("tensor \"a\" is not in 2.safetensors"),
            std::string::npos);
  WriteText(index, R"({"weight_map": {"a": "1.safetensors", "c": "3.safetensors"}})");
  EXPECT_NE(CheckpointProblem(folder.path())
                .find("1 of 2 shards named by model.safetensors.index.json are "
                      "missing, the first is 3.safetensors"),
            std::string::npos)
      << CheckpointProblem(folder.path());
  WriteTensors(folder / "2.safetensors", {"b"});
  WriteText(index, R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})");
  EXPECT_NE(CheckpointProblem(folder.path()).find("tensor \"b\" is also in"), std::string::npos);
}

TEST(Checkpoint, TheIndexGoesBeforeASingleFile) {
  const testing::TemporaryFolder folder;
  WriteTensors(folder / "1.safetensors", {"a"});
  WriteTensors(folder / "model.safetensors", {"other"});
  WriteText(folder / kCheckpointIndexName, R"({"weight_map": {"a": "1.safetensors"}})");
  const Checkpoint checkpoint = Checkpoint::Open(folder.path()).value();
  EXPECT_EQ(checkpoint.tensors().size(), 1U);
  EXPECT_EQ(checkpoint.tensors().count("a"), 1U);
}

TEST(Checkpoint, NamesWeightsOfAnotherFormat) {
  const testing::TemporaryFolder folder;
  WriteText(folder / "pytorch_model.bin", "PK");
  WriteText(folder / "model.gguf", "GGUF");
  EXPECT_EQ(CheckpointProblem(folder.path()),
            folder.path() +
                ": a folder's weights are read from safetensors files, found none but model.gguf, "
                "which is a model by itself: name that file");
  fs::create_directory(folder / "model.safetensors");
  EXPECT_EQ(CheckpointProblem(folder.path()),
            (folder / "model.safetensors") + ": expected a regular file, found a folder");
}

TEST(Checkpoint, DoesNotWaitForAFifo) {
  const testing::TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "model.safetensors").c_str(), 0600), 0);
  EXPECT_EQ(CheckpointProblem(folder.path()),
            (folder / "model.safetensors") + ": expected a regular file, found a FIFO");
}

TEST(Checkpoint, RefusesHostileIndexes) {
  const testing::TemporaryFolder folder;
  WriteTensors(folder / "a.safetensors", {"a"});
  fs::create_directory(folder / "inner");
  const std::string index = folder / ("inner/" + std::string(kCheckpointIndexName));
  for (const char* text :
       {R"({"weight_map": {"a": "../a.safetensors"}})", R"({"weight_map": {"a": "/etc/passwd"}})",
        R"({"weight_map": {"a": ".."}})", R"({"weight_map": {"a": ""}})",
        R"({"weight_map": {"a": 1}})", R"({"weight_map": {"a": "x\u0000y"}})",
        R"({"weight_map": []})", R"({"weight_map": {}})", R"({})", R"([])", R"({"weight_map")",
        R"({"weight_map": {"a": "a", "a": "a"}})",
        R"({"weight_map": {"a": "a"}, "metadata": {"total_size": -1}})",
        R"({"weight_map": {"a": "a"}, "metadata": {"total_size": "9"}})"}) {
    WriteText(index, text);
    const std::string problem = CheckpointProblem(folder / "inner");
    EXPECT_EQ(problem.find(index + ": "), 0U) << text << " gave " << problem;
  }
}

TEST(Checkpoint, NamesWhatIsMissing) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(CheckpointProblem(folder / "none"), (folder / "none") + ": no such file or folder");
  EXPECT_NE(CheckpointProblem(folder.path()).find("found 0 .safetensors files"), std::string::npos);
  WriteText(folder / "model.safetensors", "torn");
  EXPECT_NE(CheckpointProblem(folder.path()).find("model.safetensors: 4 bytes is too short"),
            std::string::npos);
}

// Other writers do not pad the header, so data may start at any address.
TEST(Checkpoint, ReadsMisalignedTensors) {
  const testing::TemporaryFolder folder;
  for (size_t padding = 0; padding < 8; ++padding) {
    const std::string header = R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                               R"("w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})" +
                               std::string(padding, ' ');
    const uint64_t length = header.size();
    const std::vector<float> values = {1.25F, -3.5F};
    std::string file(reinterpret_cast<const char*>(&length), 8);
    file += header + "u" + std::string(reinterpret_cast<const char*>(values.data()), 8);
    WriteText(folder / "model.safetensors", file);
    const Checkpoint checkpoint = Checkpoint::Open(folder.path()).value();
    const TensorView& w = checkpoint.tensors().at("w");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(w.data) % sizeof(float), 0U);
    EXPECT_EQ(LoadFloat(w.dtype, w.data, 0), 1.25F);
    EXPECT_EQ(LoadFloat(w.dtype, w.data, 1), -3.5F);
  }
}

// Rows of such types begin at any even address.
TEST(Checkpoint, ReadsMisalignedTensorsOfGguf) {
  const testing::TemporaryFolder folder;
  const float value = 1.25F;
  for (const uint64_t offset : {1, 2, 3, 4}) {
    testing::GgufBuilder builder;
    builder.alignment = 1;
    builder.Number("general.alignment", 1U).Tensor("w", {1}, 0, offset).Tensor("q", {32}, 8, 16);
    std::string data(16 + 34, '\0');
    std::memcpy(data.data() + offset, &value, sizeof(value));
    WriteText(folder / "m.gguf", builder.Data(data).File());
    const auto model = std::make_shared<GgufModel>(OpenGguf(folder / "m.gguf").value());
    const Checkpoint checkpoint = Checkpoint::OfGguf({model}).value();
    const TensorView& w = checkpoint.tensors().at("w");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(w.data) % sizeof(float), 0U);
    EXPECT_EQ(LoadFloat(w.dtype, w.data, 0), value);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(checkpoint.tensors().at("q").data) % 2, 0U);
    EXPECT_EQ(checkpoint.total_bytes(), 4U + 34U);
    EXPECT_EQ(checkpoint.FileOf("q"), folder / "m.gguf");
  }
}

TEST(Checkpoint, OpensEveryGolden) {
  int opened = 0;
  for (const char* name : {"text/hybrid", "text/hybrid-bf16", "text/native", "text/linear"}) {
    const std::string folder = testing::GoldenFolder(name);
    if (folder.empty()) continue;  // not in the compact set
    EXPECT_EQ(CheckpointProblem(folder), "");
    ++opened;
  }
  EXPECT_GE(opened, 1);
}

}  // namespace
}  // namespace fulmen
