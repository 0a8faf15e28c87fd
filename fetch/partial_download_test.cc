#include "fetch/partial_download.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file_io.h"
#include "base/random.h"
#include "fetch/manifest.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

const RemoteFile kFile = {"a/b.gguf", 100, {Checksum::Kind::kGitBlob, std::string(40, '0')}};
const std::string kFirst = "fulmen pull 1 100 git-blob:" + std::string(40, '0') + "\n";

std::optional<DownloadJournal> Parse(const std::string& rest, int64_t written = 100) {
  return ParseJournal(kFirst + rest, kFile, written);
}

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(DownloadJournal, NamesWhatIsThere) {
  const auto journal = Parse("etag \"x y\"\n0 10\n50 60\n10 20\n");
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->etag, "\"x y\"");
  EXPECT_EQ(journal->have.total(), 30);
  EXPECT_EQ(Parse("0 10\n20 3")->have.total(), 10);  // cut short
  EXPECT_EQ(Parse("")->have.total(), 0);
}

TEST(DownloadJournal, IsOfThisFileAlone) {
  EXPECT_FALSE(ParseJournal("", kFile, 100));
  EXPECT_FALSE(ParseJournal(kFirst.substr(0, 20), kFile, 100));
  RemoteFile other = kFile;
  other.checksum.hex[0] = '1';
  EXPECT_FALSE(ParseJournal(kFirst + "0 10\n", other, 100));
  for (const char* rest :
       {"x\n", "10\n", "10 5\n", "5 5\n", "-1 5\n", "0 101\n", "0 10 \n", "0  9\n"}) {
    EXPECT_FALSE(Parse(rest)) << rest;
  }
  EXPECT_FALSE(Parse("0 10\n", 9)) << "beyond what was written";
}

TEST(DownloadJournal, TakesAnyBytes) {
  RandomStream random(3);
  const std::string letters = "0123456789 \n\netag-x";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto left = random.Next() % 40; left > 0; --left) {
      text += letters[random.Next() % letters.size()];
    }
    const auto journal = Parse(text);
    EXPECT_LE(journal ? journal->have.total() : 0, 100);
    (void)ParseManifest(text);
  }
}

class Partial : public ::testing::Test {
 protected:
  PartialDownload Open(const RemoteFile& file = kFile) const {
    auto partial = PartialDownload::Open(target_, file);
    EXPECT_TRUE(partial) << partial.error().message;
    return *std::move(partial);
  }

  const testing::TemporaryFolder folder_;
  const TargetFolder target_ = *TargetFolder::Create(folder_ / "out");
};

TEST_F(Partial, GoesOnWhereItWas) {
  {
    PartialDownload partial = Open();
    ASSERT_TRUE(partial.SetEtag("\"tag\""));
    ASSERT_TRUE(partial.Write(10, Bytes("0123456789")));
    ASSERT_TRUE(partial.Record({10, 20}));
    ASSERT_TRUE(partial.Write(20, Bytes("not recorded")));
  }
  EXPECT_EQ(PartialBytes(target_, kFile), 10);
  PartialDownload partial = Open();
  EXPECT_EQ(partial.etag(), "\"tag\"");
  EXPECT_EQ(partial.have().Missing(100, 100), (std::vector<ByteRange>{{0, 10}, {20, 100}}));
  // Another file under that name begins anew.
  RemoteFile other = kFile;
  other.size = 99;
  EXPECT_EQ(Open(other).have().total(), 0);
  EXPECT_EQ(PartialBytes(target_, kFile), 0);
}

TEST_F(Partial, AJournalThatWasCutShortIsMended) {
  {
    PartialDownload partial = Open();
    ASSERT_TRUE(partial.Write(0, Bytes("0123456789")));
    ASSERT_TRUE(partial.Record({0, 5}));
    ASSERT_TRUE(partial.Record({5, 10}));
  }
  const std::string journal = folder_ / "out/.fulmen-pull/parts/a/b.gguf.part.ranges";
  fs::resize_file(journal, fs::file_size(journal) - 2);
  {
    PartialDownload partial = Open();
    EXPECT_EQ(partial.have().total(), 5);
    ASSERT_TRUE(partial.Record({8, 10}));
  }
  EXPECT_EQ(Open().have().total(), 7);
}

TEST_F(Partial, FollowsNoLinks) {
  fs::create_directories(folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "out/a");
  PartialDownload partial = Open();
  const Status finished = partial.Finish();
  ASSERT_FALSE(finished);
  EXPECT_NE(finished.error().message.find("expected a folder that is no link"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
  // A link in a file's place is replaced, and what it names stays.
  const RemoteFile file = {"c", 0, kFile.checksum};
  std::ofstream(folder_ / "elsewhere/d") << "kept";
  fs::create_symlink(folder_ / "elsewhere/d", folder_ / "out/c");
  EXPECT_FALSE(target_.Stamp("c"));
  ASSERT_TRUE(Open(file).Finish());
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder_ / "out/c")));
  EXPECT_EQ(testing::ReadFileOrDie(folder_ / "elsewhere/d"), "kept");
  // Nor is one followed in place of a partial file.
  fs::remove_all(folder_ / "out/.fulmen-pull");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "out/.fulmen-pull");
  EXPECT_FALSE(PartialDownload::Open(target_, file));
  EXPECT_FALSE(WriteManifest(target_, {}));
}

TEST_F(Partial, OthersGo) {
  (void)Open();
  (void)Open({"c.json", 3, kFile.checksum});
  RemoveOtherPartials(target_, [](const std::string& path) { return path == "c.json"; });
  EXPECT_FALSE(fs::exists(folder_ / "out/.fulmen-pull/parts/a"));
  EXPECT_TRUE(fs::exists(folder_ / "out/.fulmen-pull/parts/c.json.part"));
  RemoveOtherPartials(target_, [](const std::string&) { return false; });
  EXPECT_FALSE(fs::exists(folder_ / "out/.fulmen-pull/parts"));
}

TEST_F(Partial, OnePullAtATime) {
  ASSERT_TRUE(target_.Lock());
  const TargetFolder again = *TargetFolder::Create(folder_ / "out");
  EXPECT_EQ(again.Lock().error().code, ErrorCode::kConflict);
}

TEST_F(Partial, ManifestsComeBack) {
  Manifest manifest = {.model = "a/b", .commit = "c"};
  manifest.files["x/y"] = {kFile.checksum, {100, -5}};
  ASSERT_TRUE(WriteManifest(target_, manifest));
  const Manifest read = ReadManifest(target_);
  EXPECT_EQ(read.model, "a/b");
  EXPECT_EQ(read.commit, "c");
  ASSERT_EQ(read.files.size(), 1U);
  EXPECT_EQ(read.files.at("x/y").stamp, (FileStamp{100, -5}));
  EXPECT_EQ(read.files.at("x/y").checksum, kFile.checksum);
  const std::string path = folder_ / "out/.fulmen-pull/manifest.json";
  ASSERT_TRUE(WriteFileAtomically(path, testing::ReadFileOrDie(path).substr(1)));
  EXPECT_TRUE(ReadManifest(target_).files.empty());
}

}  // namespace
}  // namespace fulmen
