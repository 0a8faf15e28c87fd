#include "fetch/listing.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace fulmen {
namespace {

const std::string kSha1(40, 'a');
const std::string kSha256(64, 'b');

std::string ErrorOfPage(const std::string& text) {
  std::vector<RemoteFile> files;
  const Status status = ParseTreePage(text, "page", files);
  return status ? "" : status.error().message;
}

TEST(Listing, Commits) {
  EXPECT_EQ(ParseCommit(R"({"id":"a/b","sha":")" + kSha1 + "\"}", "x").value(), kSha1);
  for (const char* text :
       {"", "[]", "{}", R"({"sha":1})", R"({"sha":"abc"})", R"({"sha":"../.."})"}) {
    EXPECT_FALSE(ParseCommit(text, "x")) << text;
  }
}

TEST(Listing, FilesSmallAndLarge) {
  const std::string page = R"([{"type":"directory","oid":"0","size":0,"path":"d"},)"
                           R"({"type":"file","oid":")" +
                           kSha1 +
                           R"(","size":12,"path":"config.json"},)"
                           R"({"type":"file","oid":"ignored","size":135,"path":"d/m.safetensors",)"
                           R"("lfs":{"oid":")" +
                           kSha256 + R"(","size":5000000000,"pointerSize":135}}])";
  std::vector<RemoteFile> files;
  ASSERT_TRUE(ParseTreePage(page, "page", files));
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, "config.json");
  EXPECT_EQ(files[0].size, 12);
  EXPECT_EQ(files[0].checksum, (Checksum{Checksum::Kind::kGitBlob, kSha1}));
  EXPECT_EQ(files[1].size, 5'000'000'000);
  EXPECT_EQ(files[1].checksum, (Checksum{Checksum::Kind::kSha256, kSha256}));
}

TEST(Listing, RefusesWhatIsNone) {
  const auto entry = [](const std::string& rest) { return R"([{"type":"file",)" + rest + "}]"; };
  const std::string oid = "\"oid\":\"" + kSha1 + "\"";
  EXPECT_EQ(ErrorOfPage("{}"), "page: expected a list of files, found {}");
  EXPECT_NE(ErrorOfPage("<html>"), "");
  EXPECT_NE(ErrorOfPage(entry(oid + R"(,"size":1)")), "");
  EXPECT_EQ(ErrorOfPage(entry(oid + R"(,"path":"x","size":-1)")),
            "page: the size of \"x\" should be a number of bytes, found -1");
  EXPECT_NE(ErrorOfPage(entry(oid + R"(,"path":"x","size":1e30)")), "");
  EXPECT_NE(ErrorOfPage(entry(oid + R"(,"path":"x","size":9223372036854775807)")), "");
  EXPECT_NE(ErrorOfPage(entry(oid + R"(,"path":"x")")), "");
  EXPECT_NE(ErrorOfPage(entry(R"("oid":"abc","path":"x","size":1)")), "");
  EXPECT_NE(ErrorOfPage(entry(oid + R"(,"path":"x","size":1,"lfs":{"oid":")" + kSha1 + "\"}")), "");
}

TEST(Listing, NextPages) {
  EXPECT_EQ(NextPageQuery(R"(<https://h/api/x?recursive=true&cursor=abc%3D>; rel="next")"),
            "recursive=true&cursor=abc%3D");
  EXPECT_EQ(NextPageQuery(R"(<https://h/?a=1>; rel="prev", <https://h/?b=2#f>; rel="next")"),
            "b=2");
  EXPECT_EQ(NextPageQuery("<?c=3>; rel=next"), "c=3");
  for (const char* none : {"", "<", ">", "<>", "<a>", "<?a=1>; rel=\"prev\"", "a; rel=\"next\"",
                           "<a>; rel=\"next\"", "<?a=1"}) {
    EXPECT_EQ(NextPageQuery(none), "") << none;
  }
}

TEST(Listing, Names) {
  EXPECT_EQ(ParseModelNames(R"([{"id":"a/b"},{"id":1},{},{"id":"a/c"}])"),
            (std::vector<std::string>{"a/b", "a/c"}));
  EXPECT_TRUE(ParseModelNames("{}").empty());
  EXPECT_TRUE(ParseModelNames("no").empty());
}

// Pieces of listings in any order: an answer or an error, and nothing else.
TEST(Listing, TakesAnyBytes) {
  const std::vector<std::string> pieces = {"[",
                                           "]",
                                           "{",
                                           "}",
                                           ",",
                                           ":",
                                           "\"type\"",
                                           "\"file\"",
                                           "\"path\"",
                                           "\"size\"",
                                           "\"oid\"",
                                           "\"lfs\"",
                                           "1",
                                           "-1",
                                           "1e9",
                                           "null",
                                           "\"" + kSha1 + "\"",
                                           "<",
                                           ">",
                                           "?",
                                           "rel=next"};
  RandomStream random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto left = random.Next() % 30; left > 0; --left) {
      text += pieces[random.Next() % pieces.size()];
    }
    std::vector<RemoteFile> files;
    (void)ParseTreePage(text, "page", files);
    (void)ParseCommit(text, "commit");
    (void)NextPageQuery(text);
    for (const RemoteFile& file : files) EXPECT_GE(file.size, 0);
  }
}

TEST(Checksum, AsText) {
  for (const Checksum& checksum :
       {Checksum{Checksum::Kind::kSha256, kSha256}, Checksum{Checksum::Kind::kGitBlob, kSha1}}) {
    EXPECT_EQ(ParseChecksum(checksum.Text()), checksum);
  }
  for (const std::string& text : {std::string(), kSha1, "sha256:" + kSha1, "md5:" + kSha1,
                                  "git-blob:" + std::string(40, 'G')}) {
    EXPECT_FALSE(ParseChecksum(text)) << text;
  }
}

}  // namespace
}  // namespace fulmen
