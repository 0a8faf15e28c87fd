#include "quantize/importance_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::Bytes;
using testing::GgufBuilder;

std::string Floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += Bytes(value);
  return bytes;
}

Result<ImportanceMatrix> Parse(const std::string& file) {
  return ParseImportance(std::as_bytes(std::span(file.data(), file.size())), "file");
}

void ExpectRefusal(const std::string& file, const std::string& sentence) {
  const Result<ImportanceMatrix> parsed = Parse(file);
  ASSERT_FALSE(parsed) << "expected: " << sentence;
  EXPECT_EQ(parsed.error().message, sentence);
}

// What llama.cpp's tools write of two experts of three columns, the second of which got no token.
GgufBuilder TwoExperts(const std::vector<float>& sums, const std::vector<float>& counts) {
  GgufBuilder builder;
  builder.Text("general.type", "imatrix")
      .Texts("imatrix.datasets", {"wiki.txt", "more.txt"})
      .Number("imatrix.chunk_count", uint32_t{7})
      .Number("imatrix.chunk_size", uint32_t{512})
      .Tensor("blk.0.ffn_up_exps.weight.in_sum2", {3, 2}, 0, 0)
      .Tensor("blk.0.ffn_up_exps.weight.counts", {1, counts.size()}, 0, 32)
      .Data(Floats(sums) + std::string(32 - 4 * sums.size(), '\0') + Floats(counts) +
            std::string(32 - 4 * counts.size(), '\0'));
  return builder;
}

TEST(ParseImportance, ReadsGguf) {
  const ImportanceMatrix found = Parse(TwoExperts({1, 2, 6, 0, 0, 0}, {2, 0}).File()).value();
  EXPECT_EQ(found.file, "file");
  EXPECT_EQ(found.datasets, (std::vector<std::string>{"wiki.txt", "more.txt"}));
  EXPECT_EQ(found.chunks, 7);
  EXPECT_EQ(found.chunk_size, 512);
  const std::string name = "blk.0.ffn_up_exps.weight";
  EXPECT_EQ(ImportanceOf(found, name, 0, 2), (std::vector<float>{0.5F, 1, 3}));
  EXPECT_TRUE(ImportanceOf(found, name, 1, 2).empty());
  EXPECT_TRUE(ImportanceOf(found, "blk.1.ffn_up_exps.weight", 0, 2).empty());
}

TEST(ParseImportance, RefusesGgufThatContradictsItself) {
  const std::string tensor = "tensor \"blk.0.ffn_up_exps.weight\"";
  ExpectRefusal(TwoExperts({1, 2, NAN, 0, 0, 0}, {2, 0}).File(),
                "file: sum 2 of " + tensor + " is nan, expected a finite number of at least 0");
  ExpectRefusal(TwoExperts({1, 2, 6, 0, -4, 0}, {2, 0}).File(),
                "file: sum 4 of " + tensor + " is -4, expected a finite number of at least 0");
  ExpectRefusal(TwoExperts({1, 2, 6, 0, 0, 0}, {std::numeric_limits<float>::infinity(), 0}).File(),
                "file: count 0 of " + tensor + " is inf, expected a finite number of at least 0");
  ExpectRefusal(TwoExperts({1, 2, 6, 0, 0, 0}, {2, 0, 1, 1}).File(),
                "file: " + tensor + " has 6 sums for 4 counts, expected as many for each");
  ExpectRefusal(GgufBuilder().Text("general.type", "model").File(),
                "file: expected an importance matrix (general.type \"imatrix\"), found a GGUF file "
                "of type \"model\"");
  ExpectRefusal(GgufBuilder().Text("general.type", "imatrix").File(),
                "file: the importance matrix has no tensors");
  ExpectRefusal(GgufBuilder()
                    .Text("general.type", "imatrix")
                    .Tensor("x.in_sum2", {1}, 0, 0)
                    .Data(Floats({1, 0, 0, 0, 0, 0, 0, 0}))
                    .File(),
                "file: tensor \"x\" has sums and no counts");
}

// An entry of the old form.
std::string OldEntry(const std::string& name, int32_t calls, const std::vector<float>& values) {
  return Bytes(static_cast<int32_t>(name.size())) + name + Bytes(calls) +
         Bytes(static_cast<int32_t>(values.size())) + Floats(values);
}
std::string Trailer() { return Bytes(int32_t{9}) + Bytes(int32_t{3}) + "a.t"; }

TEST(ParseImportance, ReadsTheOldForm) {
  const std::string entries =
      Bytes(int32_t{2}) + OldEntry("a", 4, {2, 4, 8}) + OldEntry("b", 0, {5});
  const ImportanceMatrix found = Parse(entries + Trailer()).value();
  EXPECT_EQ(ImportanceOf(found, "a", 0, 1), (std::vector<float>{0.5F, 1, 2}));
  EXPECT_EQ(ImportanceOf(found, "b", 0, 1), (std::vector<float>{5}));
  EXPECT_EQ(found.chunks, 9);
  EXPECT_EQ(found.datasets, (std::vector<std::string>{"a.t"}));
  const ImportanceMatrix oldest = Parse(entries).value();
  EXPECT_EQ(oldest.chunks, 0);
  EXPECT_TRUE(oldest.datasets.empty());
}

TEST(ParseImportance, RefusesAnOldFormThatIsNone) {
  const std::string short_of =
      "file: expected a GGUF file or an importance matrix in llama.cpp's old form, but ";
  ExpectRefusal("", short_of + "the number of tensors would take 4 bytes and 0 are left");
  ExpectRefusal("Once upon a time", short_of +
                                        "the name of tensor 0 would take 1869640992 bytes "
                                        "and 8 are left");
  ExpectRefusal(Bytes(int32_t{0}), "file: the number of tensors is 0, expected at least 1");
  ExpectRefusal(Bytes(int32_t{1}) + Bytes(int32_t{-1}),
                "file: the length of the name of tensor 0 is -1, expected at least 0");
  const std::string entry = OldEntry("a", 4, {2, 4, 8});
  ExpectRefusal(Bytes(int32_t{1}) + entry.substr(0, entry.size() - 1),
                short_of + "the sums of tensor \"a\" would take 12 bytes and 11 are left");
  ExpectRefusal(Bytes(int32_t{2}) + entry + entry, "file: tensor \"a\" stands twice");
  ExpectRefusal(Bytes(int32_t{1}) + OldEntry("a", 4, {1, -2}),
                "file: sum 1 of tensor \"a\" is -2, expected a finite number of at least 0");
  ExpectRefusal(Bytes(int32_t{1}) + OldEntry("a", 4, {}),
                "file: the number of sums of tensor \"a\" is 0, expected at least 1");
  ExpectRefusal(Bytes(int32_t{1}) + entry + Trailer() + "xy",
                "file: 2 bytes follow the name of the text, expected none");
}

TEST(WriteImportance, IsReadBack) {
  const testing::TemporaryFolder folder;
  ImportanceMatrix importance;
  importance.datasets = {"a.txt"};
  importance.chunks = 3;
  importance.chunk_size = 64;
  importance.entries["output.weight"] = {.sums = {1, 2, 3}, .counts = {5}};
  importance.entries["blk.0.ffn_up_exps.weight"] = {.sums = {1, 2, 3, 4}, .counts = {5, 0}};
  ASSERT_TRUE(WriteImportance(importance, folder / "i.gguf"));
  const ImportanceMatrix found = ReadImportance(folder / "i.gguf").value();
  EXPECT_EQ(found.datasets, importance.datasets);
  EXPECT_EQ(found.chunks, 3);
  EXPECT_EQ(found.chunk_size, 64);
  ASSERT_EQ(found.entries.size(), 2U);
  for (const auto& [name, entry] : importance.entries) {
    EXPECT_EQ(found.entries.at(name).sums, entry.sums);
    EXPECT_EQ(found.entries.at(name).counts, entry.counts);
  }
}

}  // namespace
}  // namespace fulmen
