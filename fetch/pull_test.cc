// Pulls from a host that misbehaves in every way it can.
#include "fetch/pull.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "fetch/testing/local_host.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

constexpr int64_t kPiece = 256 << 10;

class PullTest : public ::testing::Test {
 protected:
  PullTest() {
    for (const auto& [path, text] : files_) host_.Serve("acme/tiny/main/" + path, text);
    host_.Serve("acme/tiny/main/README.md", "Not needed.");
    options_.endpoint = host_.address();
    options_.model = {"acme", "tiny", ""};
    options_.folder = out_;
    options_.transfer.first_pause = std::chrono::milliseconds(1);
    options_.transfer.longest_pause = std::chrono::milliseconds(5);
    options_.transfer.attempts = 4;
    options_.transfer.stall = std::chrono::seconds(1);
    options_.transfer.piece_bytes = kPiece;
  }

  Result<PullReport> Pull() {
    return PullModel(options_, {.start = [](int64_t, int64_t) {},
                                .progress = [this](int64_t bytes) { counted_ += bytes; }});
  }
  // A pull that ends with all files as the host has them.
  PullReport PullAll() {
    const auto report = Pull();
    EXPECT_TRUE(report) << report.error().message;
    EXPECT_TRUE(testing::FilesIn(out_) == files_) << (report ? "" : report.error().message);
    EXPECT_FALSE(fs::exists(out_ + "/.fulmen-pull/parts"));
    return report.value_or(PullReport());
  }
  // A pull that fails with this message, and leaves no file in its place that is not whole.
  // Of whichever part of the large file came first.
  void ExpectWrongRange(const std::string& size, const std::string& found) {
    const auto report = Pull();
    ASSERT_FALSE(report);
    const std::string& message = report.error().message;
    EXPECT_TRUE(message.starts_with("model.safetensors: bytes ")) << message;
    EXPECT_TRUE(message.ends_with("/" + size + " are expected, " + found)) << message;
  }
  void ExpectFailure(const std::string& message, ErrorCode code = ErrorCode::kCorrupt) {
    const auto report = Pull();
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().message, message);
    EXPECT_EQ(report.error().code, code);
    for (const auto& [path, text] : testing::FilesIn(out_)) {
      EXPECT_TRUE(text == files_.at(path)) << path;
    }
  }
  // These rules, of a host that does not name large files by their checksums.
  void MisbehaveUnlinked(const std::string& rules) const {
    host_.Misbehave(
        R"([{"path": "*/resolve/*.safetensors", "headers": {"X-Linked-Etag": null}}, )" + rules +
        "]");
  }
  int CountRequests(bool large) const {
    const std::vector<Json> log = host_.TakeLog();
    return static_cast<int>(
        std::ranges::count_if(log, [&](const Json& line) { return line["large"] == large; }));
  }

  const testing::TemporaryFolder folder_;
  const std::string out_ = folder_ / "out";
  const testing::LocalHost host_;
  Files files_ = {{"config.json", "{}"},
                  {"tokenizer.json", ""},
                  {"generation_config.json", std::string(1000, ' ')},
                  {"model.safetensors", testing::RandomBytes(5 * kPiece + 123, 1)}};
  PullOptions options_;
  std::atomic<int64_t> counted_ = 0;
};

TEST_F(PullTest, BringsAModelOnce) {
  const PullReport first = PullAll();
  EXPECT_EQ(first.files.size(), 4U);
  EXPECT_EQ(first.missing_bytes, first.bytes);
  EXPECT_EQ(counted_, first.bytes);
  EXPECT_EQ(CountRequests(true), 6);
  const PullReport second = PullAll();
  EXPECT_EQ(second.missing_bytes, 0);
  EXPECT_EQ(second.commit, first.commit);
  const std::vector<Json> log = host_.TakeLog();
  EXPECT_EQ(log.size(), 3U) << "the commit and two pages of files";
}

TEST_F(PullTest, BringsOnlyWhatChanged) {
  PullAll();
  files_["config.json"] = "{\"a\":1}";
  host_.Serve("acme/tiny/main/config.json", files_["config.json"]);
  host_.Withdraw("acme/tiny/main/generation_config.json");
  files_.erase("generation_config.json");
  const PullReport report = PullAll();
  EXPECT_EQ(report.missing_bytes, 7);
  EXPECT_EQ(report.removed, std::vector<std::string>{"generation_config.json"});
}

TEST_F(PullTest, MendsWhatSomebodyChanged) {
  PullAll();
  const auto write = [&](const std::string& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(out_ + "/" + path, text));
  };
  std::string spoilt = files_["model.safetensors"];
  spoilt[spoilt.size() / 2] ^= 1;
  write("model.safetensors", spoilt);
  fs::remove(out_ + "/config.json");
  EXPECT_EQ(PullAll().missing_bytes, 2 + static_cast<int64_t>(spoilt.size()));
  // What is right although it was written anew, or without a pull, is not fetched.
  write("model.safetensors", files_["model.safetensors"]);
  EXPECT_EQ(PullAll().missing_bytes, 0);
  fs::remove_all(out_ + "/.fulmen-pull");
  EXPECT_EQ(PullAll().missing_bytes, 0);
}

TEST_F(PullTest, ADryRunChangesNothing) {
  options_.dry_run = true;
  const auto report = Pull();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->missing_bytes, report->bytes);
  EXPECT_FALSE(fs::exists(out_));
  options_.dry_run = false;
  PullAll();
  options_.dry_run = true;
  EXPECT_EQ(Pull()->missing_bytes, 0);
}

TEST_F(PullTest, GoesOnAfterCuts) {
  MisbehaveUnlinked(R"({"path": "/objects/*", "cut": 100000, "times": 3},
                      {"path": "*/config.json", "cut": 1, "times": 2})");
  PullAll();
  EXPECT_EQ(counted_, static_cast<int64_t>(files_["model.safetensors"].size()) + 1002);
  std::vector<Json> log = host_.TakeLog();
  // The rest of the first piece was asked for where it was cut, and of the same file.
  const bool goes_on = std::ranges::any_of(log, [](const Json& line) {
    return line["range"] == "bytes=100000-262143" && line["if_range"].is_string();
  });
  EXPECT_TRUE(goes_on);
}

TEST_F(PullTest, GoesOnAfterAnError) {
  host_.Misbehave(R"([{"path": "/objects/*", "cut": 100000, "if_range_begins": "bytes=786432"},
                      {"path": "/objects/*", "status": 404,"if_range_begins": "bytes=886432"}])");
  options_.parallel = 1;
  ExpectFailure(
      "acme/tiny has no file model.safetensors, or it takes a token in HF_TOKEN or a "
      "file for --token-file",
      ErrorCode::kNotFound);
  EXPECT_EQ(testing::FilesIn(out_).size(), 2U);
  host_.Misbehave("[]");
  counted_ = 0;
  host_.TakeLog();
  PullAll();
  EXPECT_EQ(counted_, 2 * kPiece + 123 - 100'000);
}

TEST_F(PullTest, EndsWhenNothingIsGained) {
  host_.Misbehave(R"([{"path": "/objects/*", "cut": 0}])");
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_TRUE(report.error().message.starts_with("cannot fetch model.safetensors from " +
                                                 host_.address() + ": "))
      << report.error().message;
  EXPECT_EQ(report.error().code, ErrorCode::kUnavailable);
}

TEST_F(PullTest, StallsAreCuts) {
  host_.Misbehave(R"([{"path": "/objects/*", "cut": 1000, "stall": 20, "times": 1}])");
  const auto start = std::chrono::steady_clock::now();
  PullAll();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

TEST_F(PullTest, ComesAgainWhenItIsTold) {
  host_.Misbehave(
      R"([{"path": "*/tree/*", "status": 429, "headers": {"Retry-After": "1"}, "times": 1},
                      {"path": "/objects/*", "status": 500, "times": 2},
                      {"path": "*/revision/*", "status": 503, "times": 1}])");
  const auto start = std::chrono::steady_clock::now();
  PullAll();
  EXPECT_GT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(900));
}

TEST_F(PullTest, DoesNotWaitForEver) {
  host_.Misbehave(R"([{"path": "*/tree/*", "status": 429, "headers": {"Retry-After": "86400"}}])");
  ExpectFailure("cannot fetch acme/tiny from " + host_.address() +
                    ": it answered with status 429, and asks to come again in 86400 s",
                ErrorCode::kUnavailable);
  host_.Misbehave(R"([{"path": "*/tree/*", "status": 500}])");
  ExpectFailure("cannot fetch acme/tiny from " + host_.address() + ": it answered with status 500",
                ErrorCode::kUnavailable);
}

TEST_F(PullTest, TakesWholeFilesWhereThereAreNoRanges) {
  host_.Misbehave(R"([{"path": "/objects/*", "ignore_range": true}])");
  PullAll();
  EXPECT_EQ(CountRequests(true), 1);
}

TEST_F(PullTest, BeginsAnewWhereThereAreNoRangesAndTheConnectionIsCut) {
  host_.Misbehave(R"([{"path": "/objects/*", "ignore_range": true, "cut": 700000, "times": 2},
                      {"path": "/objects/*", "ignore_range": true}])");
  PullAll();
  EXPECT_EQ(counted_, 1002 + static_cast<int64_t>(files_["model.safetensors"].size()));
  fs::remove_all(out_);
  host_.Misbehave(R"([{"path": "/objects/*", "ignore_range": true, "cut": 700001}])");
  EXPECT_FALSE(Pull());
}

// The third piece comes with another tag: If-Range makes a whole file of it, or, of a host that
// does not look at If-Range, it is begun anew.
TEST_F(PullTest, BeginsAnewWhenTheTagChanges) {
  MisbehaveUnlinked(
      R"({"path": "/objects/*", "if_range_begins": "bytes=524288", "etag": "\"new\"", "times": 1})");
  PullAll();
  fs::remove_all(out_);
  MisbehaveUnlinked(
      R"({"path": "/objects/*", "if_range_begins": "bytes=524288", "etag": "\"newer\"",
                       "ignore_if_range": true, "times": 1})");
  PullAll();
  fs::remove_all(out_);
  MisbehaveUnlinked(
      R"({"path": "/objects/*", "if_range_begins": "bytes=524288", "etag": "\"newest\"",
                       "ignore_if_range": true})");
  ExpectFailure("model.safetensors: it was begun anew 5 times, and came to no end");
  // What the host names by its checksum is the same under any tag.
  fs::remove_all(out_);
  host_.Misbehave(
      R"([{"path": "/objects/*", "if_range_begins": "bytes=524288", "etag": "\"x\""}])");
  host_.TakeLog();
  PullAll();
  EXPECT_EQ(CountRequests(true), 6);
}

TEST_F(PullTest, ChecksEveryByte) {
  host_.Misbehave(R"([{"path": "/objects/*", "flip": 7, "times": 1}])");
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_TRUE(
      report.error().message.starts_with("model.safetensors: the checksum should be sha256:"))
      << report.error().message;
  EXPECT_FALSE(testing::FilesIn(out_).contains("model.safetensors"));
  EXPECT_FALSE(fs::exists(out_ + "/.fulmen-pull/parts/model.safetensors.part"));
  PullAll();
  fs::remove_all(out_);
  host_.Misbehave(R"([{"path": "*/config.json", "flip": 0}])");
  ExpectFailure(
      "config.json: the checksum should be git-blob:9e26dfeeb6e641a33dae4961196235bdb965b21b, "
      "found git-blob:b2110366027a5197ea28782a6468033e07b28e4a");
}

// As after a crash of the machine: the journal is ahead of the bytes.
TEST_F(PullTest, BeginsAnewWhatWasSpoiltSince) {
  options_.parallel = 1;
  host_.Misbehave(R"([{"path": "/objects/*", "status": 404, "if_range_begins": "bytes=524288"}])");
  EXPECT_FALSE(Pull());
  const std::string part = out_ + "/.fulmen-pull/parts/model.safetensors.part";
  std::string bytes = testing::ReadFileOrDie(part);
  ASSERT_GT(bytes.size(), 0U);
  bytes[1] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(part, bytes));
  host_.Misbehave("[]");
  PullAll();
}

TEST_F(PullTest, BelievesNoSizes) {
  const std::string size = std::to_string(files_["model.safetensors"].size());
  host_.Misbehave(R"([{"path": "*/config.json", "headers": {"Content-Length": "3"}}])");
  ExpectFailure("config.json: the host lists 2 bytes, and sends 3");
  host_.Misbehave(R"([{"path": "*/config.json", "endless": true}])");
  ExpectFailure("config.json: the host lists 2 bytes, and sends more");
  host_.Misbehave(R"([{"path": "/objects/*", "headers": {"Content-Range": "bytes 0-9/10"}}])");
  ExpectWrongRange(size, "found bytes 0-9/10");
  host_.Misbehave(R"([{"path": "/objects/*", "headers": {"Content-Range": null}}])");
  ExpectWrongRange(size, "found no Content-Range");
  host_.Misbehave(
      R"([{"path": "/objects/*", "body": "short", "headers": {"Content-Length": "5"}}])");
  EXPECT_FALSE(Pull());
  host_.Misbehave(R"([{"path": "*/tree/*", "endless": true}])");
  ExpectFailure("acme/tiny: at most 33554432 bytes are expected, found more");
  host_.Misbehave(R"([{"path": "*/tree/*", "status": 404, "endless": true}])");
  EXPECT_EQ(Pull().error().code, ErrorCode::kNotFound);
  host_.Misbehave(R"([{"path": "*/resolve/*.safetensors",
                       "headers": {"X-Linked-Etag": "\"0000000000000000000000000000000000000000000000000000000000000000\""}}])");
  EXPECT_NE(Pull().error().message.find("and sends a file of 00000"), std::string::npos);
  host_.Misbehave("[]");
  PullAll();
}

TEST_F(PullTest, LeavesRoomOnTheDisk) {
  const std::string oid(40, '0');
  host_.Misbehave(
      R"([{"path": "*/tree/*", "headers": {"Link": null}, "body": "[{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":200000000000000,\"oid\":\")" +
      oid + R"(\"}]"}])");
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kNoRoom);
  EXPECT_TRUE(report.error().message.starts_with("200.0 TB are to be fetched, but the disk of "))
      << report.error().message;
}

TEST_F(PullTest, FollowsRedirectsOfHttpAlone) {
  const auto lead = [&](const std::string& where) {
    host_.Misbehave(R"([{"path": "*/config.json", "status": 302, "headers": {"Location": ")" +
                    where + R"("}}])");
  };
  lead("/acme/tiny/resolve/main/config.json?once");
  PullAll();
  fs::remove_all(out_);
  for (const std::string where : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://h/",
                                  "http://127.0.0.1:1/x", "/acme/tiny/resolve/x/config.json"}) {
    lead(where);
    const auto report = Pull();
    ASSERT_FALSE(report) << where;
    EXPECT_FALSE(fs::exists(out_ + "/config.json"));
  }
  host_.Misbehave(R"([{"path": "/*", "status": 302, "headers": {"Location": "/loop"}}])");
  EXPECT_NE(Pull().error().message.find("10"), std::string::npos) << Pull().error().message;
}

TEST_F(PullTest, GivesTheTokenToTheHostAlone) {
  host_.Gate("acme/tiny", "secret");
  ExpectFailure("acme/tiny is gated: accept its terms at " + host_.address() +
                    "/acme/tiny, and put a token of that account into HF_TOKEN or a file for "
                    "--token-file",
                ErrorCode::kUnavailable);
  options_.token = "wrong";
  ExpectFailure("acme/tiny is gated: accept its terms at " + host_.address() +
                    "/acme/tiny, and use a token of the account that did (this one has no access)",
                ErrorCode::kUnavailable);
  options_.token = "secret";
  host_.TakeLog();
  PullAll();
  for (const Json& line : host_.TakeLog()) {
    EXPECT_EQ(line["token"], line["large"] == true ? Json() : Json("Bearer secret")) << line.dump();
  }
  options_.token = "two words";
  EXPECT_NE(Pull().error().message.find("one word"), std::string::npos);
  options_.token = "a\r\nX-Header: b";
  EXPECT_NE(Pull().error().message.find("one word"), std::string::npos);
}

TEST_F(PullTest, NamesThatLeaveTheFolder) {
  const auto list = [&](const std::string& name) {
    host_.Misbehave(R"([{"path": "*/tree/*", "body": "[{\"type\":\"file\",\"path\":\")" + name +
                    R"(\",\"size\":2,\"oid\":\"9e26dfeeb6e641a33dae4961196235bdb965b21b\"}]"}])");
  };
  options_.filter.include = {"*"};
  for (const std::string name : {"../config.json", "/tmp/config.json", "a/../../config.json",
                                 "a\\\\\\\\b", "a\\\\u0000b", ".fulmen-pull/manifest.json"}) {
    list(name);
    const auto report = Pull();
    ASSERT_FALSE(report) << name;
    EXPECT_NE(report.error().message.find("cannot be the name of a file here"), std::string::npos)
        << report.error().message;
  }
  EXPECT_FALSE(fs::exists(folder_ / "config.json"));
  EXPECT_FALSE(fs::exists(out_));
  // A link below the folder is none that leads out of it.
  fs::create_directories(folder_ / "elsewhere");
  fs::create_directories(out_);
  fs::create_directory_symlink(folder_ / "elsewhere", out_ + "/docs");
  host_.Misbehave("[]");
  host_.Serve("acme/tiny/main/docs/a.md", "text");
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
}

TEST_F(PullTest, WhatIsNotThere) {
  const std::string token = ", or it takes a token in HF_TOKEN or a file for --token-file";
  options_.model.name = "tinny";
  ExpectFailure(
      "there is no model acme/tinny at " + host_.address() + token + "; did you mean acme/tiny?",
      ErrorCode::kNotFound);
  options_.model = {"nobody", "nothing", ""};
  ExpectFailure("there is no model nobody/nothing at " + host_.address() + token,
                ErrorCode::kNotFound);
  options_.token = "x";
  ExpectFailure("there is no model nobody/nothing at " + host_.address(), ErrorCode::kNotFound);
  options_.model = {"acme", "tiny", ""};
  options_.revision = "v9";
  ExpectFailure("acme/tiny has no revision \"v9\" at " + host_.address(), ErrorCode::kNotFound);
  options_.revision = "main";
  options_.model.file = "configs.json";
  ExpectFailure("acme/tiny has no file configs.json; did you mean config.json?",
                ErrorCode::kNotFound);
  options_.endpoint = "http://127.0.0.1:1";
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_TRUE(
      report.error().message.starts_with("cannot reach http://127.0.0.1:1 (is there a network?): "))
      << report.error().message;
  for (const char* address : {"", "huggingface.co", "ftp://h", "file:///x", "http://",
                              "http://u:p@h", "http://h?x", "http://h#x"}) {
    options_.endpoint = address;
    EXPECT_EQ(Pull().error().code, ErrorCode::kInvalidArgument) << address;
  }
}

TEST_F(PullTest, OtherRevisionsAndFiles) {
  host_.Serve("acme/tiny/v1/config.json", "old");
  host_.Serve("acme/tiny/v1/q/m-00001-of-00002.gguf", "one");
  host_.Serve("acme/tiny/v1/q/m-00002-of-00002.gguf", "two");
  options_.revision = "v1";
  options_.model.file = "*m-00002*";
  const auto report = Pull();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(testing::FilesIn(out_),
            (Files{{"q/m-00001-of-00002.gguf", "one"}, {"q/m-00002-of-00002.gguf", "two"}}));
  // The commit is as good a name.
  options_.revision = report->commit;
  options_.model.file = "config.json";
  ASSERT_TRUE(Pull());
  EXPECT_EQ(testing::FilesIn(out_).at("config.json"), "old");
}

TEST_F(PullTest, StopsWhenItIsTold) {
  host_.Misbehave(R"([{"path": "/objects/*", "slow": 1000}])");
  options_.transfer.stopped = [&] { return counted_ > 5000; };
  const auto report = Pull();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_LT(counted_, 1'000'000);
  options_.transfer.stopped = [] { return false; };
  host_.Misbehave("[]");
  PullAll();
  EXPECT_EQ(counted_, 1002 + static_cast<int64_t>(files_["model.safetensors"].size()));
}

}  // namespace
}  // namespace fulmen
