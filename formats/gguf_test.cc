#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/quant_blocks.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::Bytes;
using testing::GgufBuilder;
using testing::GgufString;

constexpr uint32_t kGgmlF32 = 0;
constexpr uint32_t kGgmlQ4K = 12;

Result<GgufHeader> Parse(const std::string& file) {
  return ParseGguf(std::as_bytes(std::span(file)), "x.gguf");
}

// The message without the file's name; "" when the file is accepted. The bytes stand in memory of
// exactly their size, so that the address sanitizer sees reads past them.
std::string ProblemOf(const std::string& file) {
  const std::vector<char> exact(file.begin(), file.end());
  const Result<GgufHeader> header = ParseGguf(std::as_bytes(std::span(exact)), "x.gguf");
  if (header) return "";
  EXPECT_EQ(header.error().message.find("x.gguf: "), 0U) << header.error().message;
  EXPECT_EQ(header.error().message.find('\n'), std::string::npos);
  return header.error().message.substr(8);
}

std::string ProblemOf(const GgufBuilder& builder) { return ProblemOf(builder.File()); }

// A file of `tensors` and `entries`, whatever follows.
std::string WithCounts(uint64_t tensors, uint64_t entries, const std::string& rest) {
  return "GGUF" + Bytes(uint32_t{3}) + Bytes(tensors) + Bytes(entries) + rest;
}

std::string ArrayStart(GgufType type, uint64_t count) {
  return Bytes(static_cast<uint32_t>(type)) + Bytes(count);
}

TEST(Gguf, ReadsEveryValueType) {
  GgufBuilder builder;
  builder.Entry("u8", GgufType::kUint8, Bytes(uint8_t{200}))
      .Entry("i8", GgufType::kInt8, Bytes(int8_t{-7}))
      .Entry("u16", GgufType::kUint16, Bytes(uint16_t{60000}))
      .Entry("i16", GgufType::kInt16, Bytes(int16_t{-300}))
      .Entry("u32", GgufType::kUint32, Bytes(uint32_t{4000000000}))
      .Entry("i32", GgufType::kInt32, Bytes(int32_t{-70000}))
      .Entry("f32", GgufType::kFloat32, Bytes(1.5F))
      .Entry("bool", GgufType::kBool, Bytes(uint8_t{1}))
      .Entry("string", GgufType::kString, GgufString("text"))
      .Entry("u64", GgufType::kUint64, Bytes(UINT64_MAX))
      .Entry("i64", GgufType::kInt64, Bytes(INT64_MIN))
      .Entry("f64", GgufType::kFloat64, Bytes(-2.25))
      .Numbers("numbers", {3, -4})
      .Texts("texts", {"a", "", "bc"})
      .Entry("none", GgufType::kArray, ArrayStart(GgufType::kFloat64, 0));
  const std::string file = builder.File();
  const GgufHeader header = Parse(file).value();
  EXPECT_EQ(header.version, 3U);
  const auto json = [&](const char* key) { return header.Find(key)->ToJson(); };
  EXPECT_EQ(json("u8"), 200);
  EXPECT_EQ(json("i8"), -7);
  EXPECT_EQ(json("u16"), 60000);
  EXPECT_EQ(json("i16"), -300);
  EXPECT_EQ(json("u32"), 4000000000);
  EXPECT_EQ(json("i32"), -70000);
  EXPECT_EQ(json("f32"), 1.5);
  EXPECT_EQ(json("bool"), true);
  EXPECT_EQ(json("string"), "text");
  EXPECT_EQ(json("u64"), UINT64_MAX);
  EXPECT_EQ(json("i64"), INT64_MIN);
  EXPECT_EQ(json("f64"), -2.25);
  EXPECT_EQ(json("numbers"), Json({3, -4}));
  EXPECT_EQ(json("texts"), Json({"a", "", "bc"}));
  EXPECT_EQ(json("none"), Json::array());

  EXPECT_EQ(header.Find("i64")->Integer(), INT64_MIN);
  EXPECT_EQ(header.Find("numbers")->Integer(1), -4);
  for (const char* key : {"u64", "f32", "bool", "string"}) {
    EXPECT_FALSE(header.Find(key)->Integer()) << key;
  }
  EXPECT_EQ(header.Find("texts")->String(2), "bc");
  EXPECT_EQ(header.FindString("string", "x").value(), "text");
  EXPECT_EQ(header.FindString("other", "x").value(), "");
  EXPECT_EQ(header.FindString("u8", "x").error().message, "x: u8 should be a string, found 200");
  EXPECT_FALSE(header.FindString("texts", "x"));
  EXPECT_EQ(header.Find("other"), nullptr);
}

TEST(Gguf, ReadsTensors) {
  GgufBuilder builder;
  builder.version = 2;
  builder.Tensor("late", {256, 2}, kGgmlQ4K, 64).Tensor("early", {3, 2, 1}, kGgmlF32, 0);
  builder.Tensor("scalar", {}, kGgmlF32, 384);
  const std::string file = builder.Data(std::string(388, 'x')).File();
  const GgufHeader header = Parse(file).value();
  EXPECT_EQ(header.version, 2U);
  const GgufTensor& late = header.tensors.at("late");
  EXPECT_EQ(late.dtype, DType::kQ4_K);
  EXPECT_EQ(late.shape, (Shape{2, 256}));
  EXPECT_EQ(late.end - late.begin, 2 * sizeof(BlockQ4_K));
  EXPECT_EQ(late.begin % 32, 0U);
  const GgufTensor& early = header.tensors.at("early");
  EXPECT_EQ(early.shape, (Shape{1, 2, 3}));
  EXPECT_EQ(early.begin, late.begin - 64);
  EXPECT_EQ(header.tensors.at("scalar").shape, Shape());
  EXPECT_EQ(header.tensors.at("scalar").end, file.size());
}

TEST(Gguf, KnowsTheTypesOfTensors) {
  const std::vector<std::pair<uint32_t, DType>> types = {
      {0, DType::kF32},   {1, DType::kF16},     {2, DType::kQ4_0},    {3, DType::kQ4_1},
      {6, DType::kQ5_0},  {7, DType::kQ5_1},    {8, DType::kQ8_0},    {10, DType::kQ2_K},
      {11, DType::kQ3_K}, {12, DType::kQ4_K},   {13, DType::kQ5_K},   {14, DType::kQ6_K},
      {24, DType::kI8},   {20, DType::kIQ4_NL}, {23, DType::kIQ4_XS}, {25, DType::kI16},
      {26, DType::kI32},  {27, DType::kI64},    {28, DType::kF64},    {30, DType::kBF16}};
  for (const auto& [id, type] : types) {
    const std::string file =
        GgufBuilder().Tensor("t", {256}, id, 0).Data(std::string(2048, '\0')).File();
    EXPECT_EQ(Parse(file).value().tensors.at("t").dtype, type);
  }
  const auto problem = [](uint32_t id) {
    return ProblemOf(GgufBuilder().Tensor("t", {256}, id, 0).Data(std::string(2048, '\0')));
  };
  EXPECT_EQ(problem(16),
            "tensor \"t\" has type IQ2_XXS, which is not supported; quantize to Q2_K or Q3_K_M "
            "instead");
  EXPECT_NE(problem(29).find("IQ1_M"), std::string::npos);
  EXPECT_NE(problem(34).find("TQ1_0"), std::string::npos);
  EXPECT_EQ(problem(4711), "tensor \"t\" has the unknown type 4711");
  for (const uint32_t id : {4, 5, 9, 15, 17, 18, 19, 21, 22, 31, 33, 35, 36, 38, 39}) {
    EXPECT_NE(problem(id).find("quantize to "), std::string::npos) << id;
  }
}

TEST(Gguf, RefusesOtherVersionsAndFiles) {
  GgufBuilder builder;
  builder.version = 1;
  EXPECT_EQ(ProblemOf(builder),
            "version 1 of GGUF is not supported, versions 2 and 3 are; convert the model anew");
  builder.version = 4;
  EXPECT_EQ(ProblemOf(builder), "version 4 of GGUF is not supported, versions 2 and 3 are");
  builder.version = 0x03000000;
  EXPECT_EQ(ProblemOf(builder),
            "a GGUF file for big-endian machines is not supported; convert it anew for "
            "little-endian ones");
  EXPECT_EQ(ProblemOf("ggml"), "expected a GGUF file, found another file");
  EXPECT_EQ(ProblemOf("PK\x03\x04"),
            "expected a GGUF file, found a zip archive, as PyTorch writes them (.bin, .pt, .pth)");
  EXPECT_EQ(ProblemOf(""), "expected a GGUF file, found an empty file");
}

TEST(Gguf, RefusesCountsBeyondTheFile) {
  EXPECT_EQ(ProblemOf(WithCounts(UINT64_MAX, 0, "")),
            "the number of tensors is 18446744073709551615, the 8 bytes left hold 0 at most (torn "
            "file?)");
  EXPECT_EQ(ProblemOf(WithCounts(0, uint64_t{1} << 60, std::string(26, '\0'))),
            "the number of metadata entries is 1152921504606846976, the 26 bytes left hold 2 at "
            "most (torn file?)");
  GgufBuilder numbers;
  numbers.Entry("n", GgufType::kArray, ArrayStart(GgufType::kUint64, (uint64_t{1} << 61) + 1));
  EXPECT_EQ(ProblemOf(numbers),
            "the number of elements of metadata \"n\" is 2305843009213693953, the 0 bytes left "
            "hold 0 at most (torn file?)");
  GgufBuilder strings;
  strings.Entry("s", GgufType::kArray, ArrayStart(GgufType::kString, 3) + std::string(20, '\0'));
  EXPECT_EQ(ProblemOf(strings),
            "the number of elements of metadata \"s\" is 3, the 20 bytes left hold 2 at most (torn "
            "file?)");
}

TEST(Gguf, RefusesStringsBeyondTheFile) {
  GgufBuilder value;
  value.Entry("k", GgufType::kString, Bytes(UINT64_MAX));
  EXPECT_EQ(ProblemOf(value),
            "metadata \"k\" needs 18446744073709551615 bytes at byte 45, the file has 0 left (torn "
            "file?)");
  const std::string key = Bytes(uint64_t{1} << 63) + std::string(20, 'k');
  EXPECT_EQ(ProblemOf(WithCounts(0, 1, key)),
            "the key of metadata entry 0 needs 9223372036854775808 bytes at byte 32, the file has "
            "20 left (torn file?)");
  EXPECT_EQ(ProblemOf(WithCounts(1, 0, key)),
            "the name of tensor 0 needs 9223372036854775808 bytes at byte 32, the file has 20 left "
            "(torn file?)");
}

TEST(Gguf, RefusesOtherValues) {
  GgufBuilder type;
  type.Entry("k", static_cast<GgufType>(13), Bytes(uint64_t{0}));
  EXPECT_EQ(ProblemOf(type), "metadata \"k\" has the unknown value type 13");
  GgufBuilder elements;
  elements.Entry("k", GgufType::kArray, ArrayStart(static_cast<GgufType>(99), 1));
  EXPECT_EQ(ProblemOf(elements), "metadata \"k\" has the unknown value type 99");
  GgufBuilder nested;
  nested.Entry("k", GgufType::kArray, ArrayStart(GgufType::kArray, 1));
  EXPECT_EQ(ProblemOf(nested), "metadata \"k\" is an array of arrays, which is not supported");
  GgufBuilder boolean;
  boolean.Entry("k", GgufType::kBool, "\x02");
  EXPECT_EQ(ProblemOf(boolean), "metadata \"k\" holds a boolean that is neither 0 nor 1");
}

TEST(Gguf, RefusesWhatStandsTwice) {
  EXPECT_EQ(ProblemOf(GgufBuilder().Number("k", 1U).Number("k", 1U)),
            "metadata \"k\" stands twice");
  EXPECT_EQ(ProblemOf(GgufBuilder()
                          .Tensor("t", {8}, kGgmlF32, 0)
                          .Tensor("t", {8}, kGgmlF32, 32)
                          .Data(std::string(64, '\0'))),
            "tensor \"t\" stands twice");
}

TEST(Gguf, RefusesAlignments) {
  for (const uint32_t alignment : {0U, 3U, 48U, 1U << 21, UINT32_MAX}) {
    EXPECT_EQ(ProblemOf(GgufBuilder().Number("general.alignment", alignment)),
              fmt::format("general.alignment should be a power of two up to 1048576, found {}",
                          alignment));
  }
  EXPECT_EQ(ProblemOf(GgufBuilder().Text("general.alignment", "32")),
            "general.alignment should be a power of two up to 1048576, found \"32\"");
  EXPECT_EQ(ProblemOf(GgufBuilder().Numbers("general.alignment", {})),
            "general.alignment should be a power of two up to 1048576, found []");
  GgufBuilder wide;
  wide.alignment = 256;
  wide.Number("general.alignment", 256U).Tensor("t", {1}, kGgmlF32, 0).Data("abcd");
  const std::string file = wide.File();
  EXPECT_EQ(Parse(file).value().tensors.at("t").begin, 256U);
}

TEST(Gguf, RefusesShapes) {
  const auto problem = [](const std::vector<uint64_t>& dims, uint32_t type) {
    return ProblemOf(GgufBuilder().Tensor("t", dims, type, 0).Data(std::string(64, '\0')));
  };
  EXPECT_EQ(problem({1, 1, 1, 1, 1}, kGgmlF32),
            "tensor \"t\" has 5 dimensions, expected 4 at most");
  EXPECT_EQ(problem({4, 0}, kGgmlF32), "tensor \"t\" has a dimension of 0, expected 1 to 2^63 - 1");
  EXPECT_EQ(problem({UINT64_MAX}, kGgmlF32),
            "tensor \"t\" has a dimension of 18446744073709551615, expected 1 to 2^63 - 1");
  EXPECT_EQ(problem({uint64_t{1} << 32, uint64_t{1} << 32}, kGgmlF32),
            "tensor \"t\" of type F32 and shape [4294967296, 4294967296] needs more than 2^63 "
            "bytes");
  EXPECT_EQ(problem({uint64_t{1} << 62, 1}, kGgmlF32),
            "tensor \"t\" of type F32 and shape [1, 4611686018427387904] needs more than 2^63 "
            "bytes");
  EXPECT_EQ(problem({128, 2}, kGgmlQ4K),
            "tensor \"t\" of type Q4_K has rows of 128 elements, no multiple of 256");
  EXPECT_EQ(problem({}, kGgmlQ4K),
            "tensor \"t\" of type Q4_K has rows of 1 elements, no multiple of 256");
}

TEST(Gguf, RefusesPlaces) {
  const auto problem = [](uint64_t offset) {
    return ProblemOf(GgufBuilder()
                         .Tensor("a", {9}, kGgmlF32, 0)
                         .Tensor("b", {4}, kGgmlF32, offset)
                         .Data(std::string(112, '\0')));
  };
  EXPECT_EQ(problem(96), "");
  EXPECT_EQ(problem(72), "tensor \"b\" begins at data byte 72, expected a multiple of 32");
  EXPECT_EQ(problem(32), "tensor \"b\" begins at data byte 32, inside of \"a\"");
  EXPECT_EQ(problem(0), "tensor \"b\" begins at data byte 0, inside of \"a\"");
  EXPECT_EQ(problem(128),
            "tensor \"b\" has 16 bytes from data byte 128 on, the file holds only 112 (torn "
            "file?)");
  EXPECT_EQ(problem(UINT64_MAX - 31),
            "tensor \"b\" has 16 bytes from data byte 18446744073709551584 on, the file holds only "
            "112 (torn file?)");
}

TEST(Gguf, TruncationAtEveryByteIsAnError) {
  const std::string file = GgufBuilder()
                               .Text("general.name", "small")
                               .Texts("texts", {"a", "bc"})
                               .Numbers("numbers", {1, 2, 3})
                               .Tensor("t", {4, 2}, kGgmlF32, 0)
                               .Tensor("u", {8}, kGgmlF32, 32)
                               .Data(std::string(64, 'x'))
                               .File();
  ASSERT_EQ(ProblemOf(file), "");
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(ProblemOf(file.substr(0, size)), "") << size;
  }
}

TEST(Gguf, AnyByteMayBeWrong) {
  const std::string file = GgufBuilder()
                               .Text("general.name", "small")
                               .Texts("texts", {"a", "bc"})
                               .Tensor("t", {256, 2}, kGgmlQ4K, 0)
                               .Data(std::string(288, 'x'))
                               .File();
  for (size_t i = 0; i < file.size() - 288; ++i) {
    for (const char byte : {'\0', '\x01', '\x7f', '\xff'}) {
      std::string spoilt = file;
      spoilt[i] = byte;
      ProblemOf(spoilt);  // an error or not, but nothing worse
    }
  }
}

TEST(Gguf, ReadsAGolden) {
  const std::string folder = testing::GoldenFolder("gguf/wide");
  if (folder.empty()) GTEST_SKIP() << "no golden gguf/wide";
  const std::string file = testing::ReadFileOrDie(folder + "/wide-q4_k_m.gguf");
  const GgufHeader header = Parse(file).value();
  EXPECT_EQ(header.tensors.size(), 33U);
  EXPECT_EQ(header.tensors.at("blk.0.ffn_up_exps.weight").shape, (Shape{4, 256, 256}));
  EXPECT_EQ(header.tensors.at("output.weight").dtype, DType::kQ6_K);
  EXPECT_EQ(header.FindString("general.architecture", "x").value(), "minimax-01");
  EXPECT_EQ(header.Find("tokenizer.ggml.tokens")->strings.size(), 512U);
}

}  // namespace
}  // namespace fulmen
