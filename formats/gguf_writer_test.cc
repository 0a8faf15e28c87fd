#include "formats/gguf_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "formats/testing/gguf_builder.h"

namespace fulmen {
namespace {

std::string TemporaryPath() { return ::testing::TempDir() + "written.gguf"; }

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(GgufWriter, WritesEveryByteOfTheFormat) {
  using std::string_literals::operator""s;
  const std::string path = TemporaryPath();
  const GgufMetadata metadata = {
      {"u", uint32_t{7}},
      {"i", int32_t{-1}},
      {"f", 1.0F},
      {"b", true},
      {"s", "ab"s},
      {"l", uint64_t{1} << 40},
      {"as", std::vector<std::string>{"x", ""}},
      {"ai", std::vector<int32_t>{1, 2}},
      {"af", std::vector<float>{0.5F}},
  };
  GgufWriter writer =
      GgufWriter::Create(
          path, metadata,
          {{"a", DType::kF32, {3}}, {"e", DType::kF32, {0, 4}}, {"q", DType::kQ4_0, {2, 64}}})
          .value();
  const std::string a = "abcdefghijkl";
  const std::string q(4 * 18, 'q');
  // Pieces need not end where tensors do.
  ASSERT_TRUE(writer.Write(AsBytes(a.substr(0, 5))));
  ASSERT_TRUE(writer.Write(AsBytes(a.substr(5) + q.substr(0, 10))));
  ASSERT_TRUE(writer.Write(AsBytes(q.substr(10))));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(writer.Finish());

  const std::string zeros7(7, '\0');
  std::string expected = "GGUF\3\0\0\0"s + "\3" + zeros7 + "\x9" + zeros7;
  expected += "\1" + zeros7 + "u\4\0\0\0\7\0\0\0"s;
  expected += "\1" + zeros7 + "i\5\0\0\0\xff\xff\xff\xff"s;
  expected += "\1" + zeros7 + "f\6\0\0\0\0\0\x80\x3f"s;
  expected += "\1" + zeros7 + "b\7\0\0\0\1"s;
  expected += "\1" + zeros7 + "s\10\0\0\0\2"s + zeros7 + "ab";
  expected += "\1" + zeros7 + "l\12\0\0\0\0\0\0\0\0\1\0\0"s;
  expected += "\2" + zeros7 + "as\11\0\0\0\10\0\0\0\2"s + zeros7 + "\1" + zeros7 + "x\0"s + zeros7;
  expected += "\2" + zeros7 + "ai\11\0\0\0\5\0\0\0\2"s + zeros7 + "\1\0\0\0\2\0\0\0"s;
  expected += "\2" + zeros7 + "af\11\0\0\0\6\0\0\0\1"s + zeros7 + "\0\0\0\x3f"s;
  expected += "\1" + zeros7 + "a\1\0\0\0\3"s + zeros7 + "\0\0\0\0\0"s + zeros7;
  expected += "\1" + zeros7 + "e\2\0\0\0\4"s + zeros7 + "\0"s + zeros7 + "\0\0\0\0\x20"s + zeros7;
  expected += "\1" + zeros7 + "q\2\0\0\0\x40"s + zeros7 + "\2" + zeros7 + "\2\0\0\0\x20"s + zeros7;
  expected.append((32 - expected.size() % 32) % 32, '\0');
  expected += a + std::string(20, '\0') + q + std::string(24, '\0');
  EXPECT_EQ(ReadFile(path).value(), expected);
  std::filesystem::remove(path);
}

TEST(GgufWriter, WritesWhatAnotherFileSays) {
  const std::string path = TemporaryPath();
  const std::string file = testing::GgufBuilder()
                               .Text("text", "ab")
                               .Number("number", 1.5F)
                               .Texts("texts", {"x", "", "yz"})
                               .Numbers("numbers", {3, -4})
                               .Entry("small", GgufType::kInt8, "\xff")
                               .Entry("large", GgufType::kFloat64, "12345678")
                               .File();
  const GgufHeader header = ParseGguf(AsBytes(file), "file").value();
  const GgufMetadata metadata(header.metadata.begin(), header.metadata.end());
  ASSERT_TRUE(GgufWriter::Create(path, metadata, {}).value().Finish());
  const std::string written = ReadFile(path).value();
  const GgufHeader again = ParseGguf(AsBytes(written), "written").value();
  ASSERT_EQ(again.metadata.size(), header.metadata.size());
  for (const auto& [key, value] : header.metadata) {
    const GgufValue& other = *again.Find(key);
    EXPECT_EQ(other.type, value.type) << key;
    EXPECT_EQ(other.array, value.array) << key;
    EXPECT_EQ(other.ToJson(), value.ToJson()) << key;
  }
  std::filesystem::remove(path);
}

TEST(GgufWriter, LeavesNothingUnfinished) {
  const std::string path = TemporaryPath();
  {
    GgufWriter writer = GgufWriter::Create(path, {}, {{"a", DType::kF32, {3}}}).value();
    ASSERT_TRUE(writer.Write(AsBytes("abcd")));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  const auto refused = GgufWriter::Create(path, {}, {{"a", DType::kF8E4M3, {3}}});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("tensor \"a\" is of type F8_E4M3, which GGUF lacks"),
            std::string::npos);
}

}  // namespace
}  // namespace fulmen
