// What quantized tensors of GGUF files stand for, against gguf-py, bit for bit.
#include <gtest/gtest.h>

#include <cstring>

#include "base/json.h"
#include "base/mapped_file.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

TEST(GgufGolden, TensorsDequantizeBitForBit) {
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "the full set is not here";
  const std::string folder = testing::GoldenFolder("gguf/wide");
  const Checkpoint expected = Checkpoint::Open(folder + "/expected.safetensors").value();
  const Json list = ReadJsonFile(folder + "/expected.json").value();
  EXPECT_EQ(list.at("dequantized").size(), 13U);
  for (const auto& [type, from] : list.at("dequantized").items()) {
    SCOPED_TRACE(type);
    const MappedFile file =
        MappedFile::Open(folder + "/" + from.at("file").get<std::string>()).value();
    const GgufHeader header = ParseGguf(file.bytes(), file.path()).value();
    const GgufTensor& tensor = header.tensors.at(from.at("tensor").get<std::string>());
    EXPECT_EQ(DTypeName(tensor.dtype), type);
    const TensorView& rows = expected.tensors().at("dequantized." + type);
    ASSERT_EQ(rows.dtype, DType::kF32);
    ASSERT_EQ(rows.shape.back(), tensor.shape.back());
    const WeightMatrix weight =
        AsWeight(TensorView{file.bytes().data() + tensor.begin, tensor.dtype, tensor.shape}.Rows(
            0, rows.rows()));
    const std::vector<float> values = Dequantize(weight);
    EXPECT_EQ(std::memcmp(values.data(), rows.data, rows.bytes()), 0);
  }
}

}  // namespace
}  // namespace fulmen
