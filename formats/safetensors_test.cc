#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/testing/golden.h"

namespace fulmen {
namespace {

// A file of the given header text and `data_size` zero bytes, parsed.
Result<SafetensorsHeader> Parse(const std::string& header, size_t data_size) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  file += header + std::string(data_size, '\0');
  return ParseSafetensorsHeader(std::as_bytes(std::span(file)), file.size(), "x.safetensors");
}

std::string ProblemOf(const std::string& header, size_t data_size) {
  const Result<SafetensorsHeader> parsed = Parse(header, data_size);
  return parsed ? "" : parsed.error().message;
}

TEST(SafetensorsHeader, ReadsEntriesAndMetadata) {
  const SafetensorsHeader header =
      Parse(
          R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
          R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
          R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]}}  )",
          16)
          .value();
  EXPECT_EQ(header.metadata.at("format"), "pt");
  ASSERT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.tensors.at("b").dtype, DType::kBF16);
  EXPECT_EQ(header.tensors.at("b").shape, (Shape{2, 3}));
  EXPECT_EQ(header.tensors.at("b").end - header.tensors.at("b").begin, 12U);
  EXPECT_TRUE(header.tensors.at("a").shape.empty());
  EXPECT_TRUE(Parse("{}", 0));
}

TEST(SafetensorsHeader, RefusesWhatFollowsTheJson) {
  using std::string_literals::operator""s;
  const std::string good = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(ProblemOf(good + "   ", 8), "");
  for (const std::string& tail : {"\0"s, "  \0\0\0"s, "\0{\"not\":\"json"s, "{\"not\":\"json"s}) {
    EXPECT_EQ(ProblemOf(good + tail, 8).find("x.safetensors: the header is not valid JSON"), 0U)
        << tail;
  }
}

TEST(SafetensorsHeader, NamesAFileOfAnotherKind) {
  const auto problem = [](const std::string& file) {
    return ParseSafetensorsHeader(std::as_bytes(std::span(file)), file.size(), "x").error().message;
  };
  EXPECT_EQ(problem("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"),
            "x: not a safetensors file but a Git LFS pointer (git lfs pull fetches the file it "
            "stands for)");
  EXPECT_EQ(problem("<!DOCTYPE html>"), "x: not a safetensors file but a web page");
  // A header whose length begins like a pickle.
  const std::string header = "{}" + std::string(0x280 - 2, ' ');
  EXPECT_EQ(ProblemOf(header, 0), "");
}

TEST(SafetensorsHeader, RefusesMetadataThatContradictsItself) {
  EXPECT_EQ(ProblemOf(R"({"__metadata__":{"a":"1","a":"2"}})", 0),
            "x.safetensors: __metadata__ \"a\" stands twice");
  EXPECT_EQ(ProblemOf(R"({"__metadata__":{},"__metadata__":{}})", 0),
            "x.safetensors: __metadata__ stands twice in the header");
}

TEST(SafetensorsHeader, RefusesLies) {
  const auto one = [](const std::string& fields) { return "{\"t\":{" + fields + "}}"; };
  const auto expect = [](const std::string& problem, const std::string& part) {
    EXPECT_NE(problem.find(part), std::string::npos) << problem;
    EXPECT_EQ(problem.find("x.safetensors: "), 0U) << problem;
  };
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  EXPECT_EQ(ProblemOf(one(good), 8), "");
  expect(ProblemOf(one(good), 7), "ends at data byte 8 but the file holds only 7");
  expect(ProblemOf(one(good), 9), "describes 8 bytes of data, the file holds 9");
  expect(ProblemOf(one(R"("dtype":"F4","shape":[2],"data_offsets":[0,1])"), 1),
         "unknown type \"F4\"");
  // A type of ours that the format has no name for.
  expect(ProblemOf(one(R"("dtype":"Q4_K","shape":[256],"data_offsets":[0,144])"), 144),
         "unknown type \"Q4_K\"");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), 8),
         "shape [3] needs 12 bytes, its offsets span 8");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8),
         "before its begin");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8),
         "a negative number");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), 8), "a fraction");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8.5])"), 8), "a fraction");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), 8), "a number");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), 8), "lacks one of");
  expect(ProblemOf(one(R"("shape":[2],"data_offsets":[0,8])"), 8), "lacks one of");
  expect(ProblemOf(one(good + R"(,"shape":[2])"), 8), "\"shape\" twice");
  expect(ProblemOf(one(good + R"(,"extra":{})"), 8), "an object");
  expect(ProblemOf(one(R"("dtype":1,"shape":[2],"data_offsets":[0,8])"), 8), "a number");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), 8), "a list");
  // Products and numbers beyond 63 and 64 bits.
  expect(ProblemOf(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"), 8),
         "needs more than 2^63 bytes");
  expect(
      ProblemOf(one(R"("dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0])"), 0),
      "needs more than 2^63 bytes");
  expect(ProblemOf(one(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])"), 8),
         "below 2^63");
  expect(
      ProblemOf(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999999])"), 8),
      "a fraction");
}

TEST(SafetensorsHeader, RefusesOverlapsHolesAndRepeats) {
  const auto two = [](const std::string& name, int begin) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},")" + name +
           fmt::format(R"(":{{"dtype":"U8","shape":[4],"data_offsets":[{},{}]}}}})", begin,
                       begin + 4);
  };
  EXPECT_EQ(ProblemOf(two("b", 4), 8), "");
  EXPECT_EQ(
      ProblemOf(two("b", 3), 7),
      "x.safetensors: tensor \"b\" begins at data byte 3, expected 4 (an overlap in the data)");
  EXPECT_EQ(
      ProblemOf(two("b", 6), 10),
      "x.safetensors: tensor \"b\" begins at data byte 6, expected 4 (an unclaimed hole in the "
      "data)");
  EXPECT_EQ(ProblemOf(two("a", 4), 8), "x.safetensors: tensor \"a\" stands twice in the header");
}

TEST(SafetensorsHeader, RefusesWhatIsNoHeader) {
  EXPECT_NE(ProblemOf("[]", 0).find("is a list, expected an object"), std::string::npos);
  EXPECT_NE(ProblemOf("7", 0).find("is a number, expected an object"), std::string::npos);
  EXPECT_NE(ProblemOf("", 0).find("not valid JSON"), std::string::npos);
  EXPECT_NE(ProblemOf("{} x", 0).find("not valid JSON"), std::string::npos);
  EXPECT_NE(ProblemOf("{\"t\":7}", 0).find("header entry \"t\" is a number"), std::string::npos);
  EXPECT_NE(ProblemOf("{\"__metadata__\":{\"a\":1}}", 0).find("expected a string"),
            std::string::npos);
  EXPECT_NE(ProblemOf(std::string(1'000'000, '['), 0).find("expected an object"),
            std::string::npos);

  std::string huge(16, '\0');
  huge[5] = 1;  // a header of 2^40 bytes
  EXPECT_NE(ParseSafetensorsHeader(std::as_bytes(std::span(huge)), huge.size(), "x")
                .error()
                .message.find("header would be 1099511627776 bytes"),
            std::string::npos);
}

// Bytes of a small file as the writer makes it.
std::string SmallFile() {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  SafetensorsWriter writer =
      SafetensorsWriter::Create(path, {{"w", DType::kF32, {3, 2}}, {"v", DType::kF16, {5}}},
                                {{"format", "pt"}})
          .value();
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};
  const std::vector<uint16_t> v(5, 0x3c00);
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(w)).first(10)));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(w)).subspan(10)));
  EXPECT_TRUE(writer.Write(std::as_bytes(std::span(v))));
  EXPECT_TRUE(writer.Finish());
  return testing::ReadFileOrDie(path);
}

TEST(SafetensorsWriter, WritesWhatTheParserReads) {
  const std::string file = SmallFile();
  const SafetensorsHeader header =
      ParseSafetensorsHeader(std::as_bytes(std::span(file)), file.size(), "x").value();
  const SafetensorsEntry& w = header.tensors.at("w");
  EXPECT_EQ(w.shape, (Shape{3, 2}));
  EXPECT_EQ(w.begin % 8, 0U);
  float last = 0;
  std::memcpy(&last, file.data() + w.end - 4, 4);
  EXPECT_EQ(last, 6.0F);
  EXPECT_EQ(header.tensors.at("v").dtype, DType::kF16);
}

TEST(SafetensorsWriter, UnfinishedFileDoesNotAppear) {
  const testing::TemporaryFolder folder;
  {
    SafetensorsWriter writer =
        SafetensorsWriter::Create(folder / "a", {{"w", DType::kF32, {2}}}).value();
    EXPECT_TRUE(writer.Write(std::vector<std::byte>(4)));
  }
  EXPECT_FALSE(ReadFile(folder / "a"));
}

TEST(SafetensorsHeader, TruncationAtEveryByteIsAnError) {
  const std::string file = SmallFile();
  for (size_t size = 0; size < file.size(); ++size) {
    // A buffer of exactly this size, so that the address sanitizer sees reads past it.
    const std::vector<char> torn(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    const Result<SafetensorsHeader> header =
        ParseSafetensorsHeader(std::as_bytes(std::span(torn)), size, "torn.safetensors");
    ASSERT_FALSE(header) << size;
    EXPECT_EQ(header.error().message.find("torn.safetensors: "), 0U);
    EXPECT_EQ(header.error().message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace fulmen
