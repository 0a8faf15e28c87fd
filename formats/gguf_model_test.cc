#include "formats/gguf_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "base/file_io.h"
#include "formats/checkpoint.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

class GgufModelTest : public ::testing::Test {
 protected:
  // A part with one tensor.
  static testing::GgufBuilder Part(uint16_t index, uint16_t count, const std::string& tensor) {
    testing::GgufBuilder builder;
    builder.Entry("split.no", GgufType::kUint16, testing::Bytes(index))
        .Entry("split.count", GgufType::kUint16, testing::Bytes(count))
        .Entry("split.tensors.count", GgufType::kInt32, testing::Bytes(int32_t{3}))
        .Tensor(tensor, {1}, 0, 0)
        .Data(std::string(4, static_cast<char>(index)));
    return builder;
  }
  void Write(const std::string& name, const testing::GgufBuilder& builder) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / name, builder.File()));
  }
  void SetUp() override {
    Write("m-00001-of-00003.gguf", Part(0, 3, "a"));
    Write("m-00002-of-00003.gguf", Part(1, 3, "b"));
    Write("m-00003-of-00003.gguf", Part(2, 3, "c"));
  }
  std::string ProblemOf(const std::string& name) const {
    const Result<GgufModel> model = OpenGguf(folder_ / name);
    return model ? "" : model.error().message;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(GgufModelTest, OpensAllPartsByAny) {
  for (const char* name :
       {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    GgufModel model = OpenGguf(folder_ / name).value();
    ASSERT_EQ(model.parts.size(), 3U);
    EXPECT_EQ(model.where(), folder_ / "m-00001-of-00003.gguf");
    EXPECT_EQ(model.header().Find("split.no")->Integer(), 0);
    const Checkpoint checkpoint =
        Checkpoint::OfGguf({std::make_shared<const GgufModel>(std::move(model))}).value();
    EXPECT_EQ(checkpoint.tensors().size(), 3U);
    EXPECT_EQ(*checkpoint.tensors().at("c").data, std::byte{2});
    EXPECT_EQ(checkpoint.FileOf("b"), folder_ / "m-00002-of-00003.gguf");
  }
}

TEST_F(GgufModelTest, OnePartIsAWholeModel) {
  Write("one.gguf", Part(0, 1, "a"));
  EXPECT_EQ(OpenGguf(folder_ / "one.gguf")->parts.size(), 1U);
  Write("one.gguf", testing::GgufBuilder());
  EXPECT_EQ(OpenGguf(folder_ / "one.gguf")->parts.size(), 1U);
}

TEST_F(GgufModelTest, NamesAMissingPart) {
  fs::remove(folder_ / "m-00002-of-00003.gguf");
  EXPECT_EQ(ProblemOf("m-00003-of-00003.gguf"),
            (folder_ / "m-00002-of-00003.gguf") + ": part 2 of 3 is missing");
}

TEST_F(GgufModelTest, NamesHaveToTellTheOthers) {
  fs::rename(folder_ / "m-00002-of-00003.gguf", folder_ / "m.gguf");
  EXPECT_EQ(ProblemOf("m.gguf"), (folder_ / "m.gguf") +
                                     ": part 2 of 3, so its name should end with "
                                     "-00002-of-00003.gguf for the others to be found");
}

TEST_F(GgufModelTest, PartsSayWhichTheyAre) {
  const std::string second = folder_ / "m-00002-of-00003.gguf";
  Write("m-00002-of-00003.gguf", Part(2, 3, "b"));
  EXPECT_EQ(ProblemOf("m-00001-of-00003.gguf"),
            second + ": expected part 2 of 3, found part 3 of 3");
  Write("m-00002-of-00003.gguf", Part(3, 3, "b"));
  EXPECT_EQ(ProblemOf("m-00001-of-00003.gguf"),
            second + ": split.no should be a whole number from 0 to 2, found 3");
  Write("m-00002-of-00003.gguf", testing::GgufBuilder());
  EXPECT_EQ(ProblemOf("m-00001-of-00003.gguf"),
            second + ": expected part 2 of 3, found part 1 of 1");
  Write("m-00002-of-00003.gguf", testing::GgufBuilder().Number("split.count", 3U));
  EXPECT_EQ(ProblemOf("m-00001-of-00003.gguf"),
            second + ": split.count is 3, but there is no split.no");
  Write("m-00002-of-00003.gguf", testing::GgufBuilder().Text("split.count", "3"));
  EXPECT_EQ(ProblemOf("m-00002-of-00003.gguf"),
            second + ": split.count should be a whole number from 0 to 99999, found \"3\"");
}

TEST_F(GgufModelTest, CountsTheTensors) {
  testing::GgufBuilder more = Part(1, 3, "b");
  more.Tensor("d", {1}, 0, 32).Data(std::string(32, 'x'));
  Write("m-00002-of-00003.gguf", more);
  EXPECT_EQ(
      ProblemOf("m-00002-of-00003.gguf"),
      (folder_ / "m-00001-of-00003.gguf") + ": split.tensors.count says 3, the 3 parts hold 4");
  Write("m-00002-of-00003.gguf", Part(1, 3, "a"));
  auto model =
      std::make_shared<const GgufModel>(OpenGguf(folder_ / "m-00002-of-00003.gguf").value());
  EXPECT_EQ(Checkpoint::OfGguf({model}).error().message, (folder_ / "m-00002-of-00003.gguf") +
                                                             ": tensor \"a\" is also in " +
                                                             (folder_ / "m-00001-of-00003.gguf"));
}

}  // namespace
}  // namespace fulmen
