#include "quantize/folder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "quantize/convert.h"
#include "quantize/testing/mixes.h"
#include "tests/testing/golden.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

using testing::KeepGoing;

namespace fs = std::filesystem;

// A folder as a GGUF file of float32, and that as a folder of `type`.
class FolderRoundTrip {
 public:
  FolderRoundTrip(const std::string& source, DType type) : original(LoadModel(source).value()) {
    const Mix& mix = *FindMix("F32").value();
    const ModelFiles files = ModelFiles::Open(source).value();
    const auto planned = PlanGguf(files, original, {mix}, file()).value();
    EXPECT_TRUE(WriteGguf(original, planned, {}, pool_, KeepGoing));
    const ModelFiles gguf = ModelFiles::Open(file()).value();
    const Model model = LoadModel(gguf).value();
    const FolderPlan plan = PlanFolder(gguf, model, type).value();
    size_t written = 0;
    const Status status = WriteFolder(model, plan, path(), pool_, [&](size_t piece) {
      written += piece;
      return true;
    });
    EXPECT_TRUE(status) << status.error().message;
    EXPECT_EQ(written, ModelFolderBytes(plan.config, plan.contents));
  }

  std::string file() const { return folder_ / "model.gguf"; }
  std::string path() const { return folder_ / "folder"; }

  const Model original;

 private:
  testing::TemporaryFolder folder_;
  ThreadPool pool_{2};
};

class FolderTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    source_ = testing::GoldenFolder(GetParam());
    if (source_.empty()) GTEST_SKIP() << "no golden " << GetParam();
  }
  std::string source_;
};

TEST_P(FolderTest, HoldsTheSameTensors) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(DTypeName(type));
    const FolderRoundTrip trip(source_, type);
    const Model back = LoadModel(trip.path()).value();
    ForEachTensor(back.config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
      const auto& was = TensorAt<WeightMatrix>(trip.original.weights, row, layer, expert);
      const auto& is = TensorAt<WeightMatrix>(back.weights, row, layer, expert);
      EXPECT_EQ(is.type, row.Is(&LayerWeights::router) ? DType::kF32 : type);
      EXPECT_EQ(Dequantize(is), Dequantize(was)) << row.original.name;  // all are BF16 there
    });
  }
}

TEST_P(FolderTest, SaysTheSame) {
  const FolderRoundTrip trip(source_, DType::kBF16);
  const Model back = LoadModel(trip.path()).value();
  Json was = ConfigToJson(trip.original.config, "bfloat16");
  Json is = ConfigToJson(back.config, "bfloat16");
  EXPECT_EQ(is["architectures"], Json({"MiniMaxText01ForCausalLM"}));
  was.erase("architectures");
  is.erase("architectures");
  for (const char* ends : {"eos_token_id"}) {  // the file may name more
    was.erase(ends);
    is.erase(ends);
  }
  EXPECT_EQ(is, was);
  EXPECT_EQ(back.unused_ids, trip.original.unused_ids);
  const Model gguf = LoadModel(trip.file()).value();
  EXPECT_EQ(back.config.eos_ids, gguf.config.eos_ids);
}

TEST_P(FolderTest, SplitsTextAlike) {
  const FolderRoundTrip trip(source_, DType::kBF16);
  const Tokenizer was = Tokenizer::Load(ModelFiles::Open(source_).value()).value();
  const Tokenizer is = Tokenizer::Load(ModelFiles::Open(trip.path()).value()).value();
  for (const char* text :
       {"Once upon a time, 1234 times.\r\n\n  Indented\tand 'quoted'.", "天下武功，唯快不破。東京",
        "Straße Ёлка 👩‍👩‍👧 🦊 e\xcc\x81",
        "<beginning_of_sentence>user\n<end_of_sentence>", "\xff\xfe bytes that are no text",
        "ĠĊ \xc2\xa0"}) {
    for (const auto markers : {Tokenizer::Markers::kPlain, Tokenizer::Markers::kParse}) {
      EXPECT_EQ(is.Encode(text, markers), was.Encode(text, markers)) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, FolderTest, ::testing::Values("gguf/source", "text/hybrid-bf16"),
                         [](const auto& test) {
                           return test.param == "gguf/source" ? "Wide" : "Hybrid";
                         });

TEST(WriteFolder, LeavesNothingWhenStopped) {
  const std::string source = testing::GoldenFolder("gguf/wide") + "/wide-q8_0.gguf";
  const testing::TemporaryFolder folder;
  const ModelFiles files = ModelFiles::Open(source).value();
  const Model model = LoadModel(files).value();
  ThreadPool pool(1);
  const FolderPlan plan = PlanFolder(files, model, DType::kF16).value();
  int pieces = 0;
  const Status status =
      WriteFolder(model, plan, folder / "out", pool, [&](size_t) { return ++pieces < 4; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

// Blocks that stand for NaN.
TEST(WriteFolder, RefusesWhatIsNotFinite) {
  const std::string source = testing::GoldenFolder("gguf/wide") + "/wide-q8_0.gguf";
  const testing::TemporaryFolder folder;
  const ModelFiles files = ModelFiles::Open(source).value();
  Model model = LoadModel(files).value();
  const WeightMatrix down = model.weights.layers[1].experts[2].down;
  std::vector<std::byte> bytes(down.data, down.data + down.bytes());
  const uint16_t nan = 0x7e00;
  std::memcpy(bytes.data() + 34 * 5, &nan, sizeof(nan));
  model.weights.layers[1].experts[2].down =
      WeightMatrix(bytes.data(), down.type, down.rows, down.cols);
  ThreadPool pool(1);
  const FolderPlan plan = PlanFolder(files, model, DType::kF32).value();
  const Status status = WriteFolder(model, plan, folder / "out", pool, KeepGoing);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            "tensor \"blk.1.ffn_down_exps.weight\" holds a weight that is not finite");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace fulmen
