#include "accounts/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::TemporaryFolder;

JournalRecord Record(const std::string& request) {
  return {.request = request,
          .tokens = {.prompt = 7, .text = 4, .cached = 2, .image = 1, .output = 5, .reasoning = 3},
          .outcome = "stop",
          .ended = 1'795'780'800'000'000'123};
}

TEST(Journal, HasWhatWasWrittenUntilItIsCleared) {
  const TemporaryFolder folder;
  const std::string path = folder / "journal";
  {
    const auto journal = Journal::Open(path).value();
    ASSERT_TRUE(journal->Append(Record("r1")));
    ASSERT_TRUE(journal->Append(Record("r2")));
  }
  const auto journal = Journal::Open(path).value();
  ASSERT_EQ(journal->records().size(), 2);
  const JournalRecord& read = journal->records()[1];
  EXPECT_EQ(read.request, "r2");
  EXPECT_EQ(read.outcome, "stop");
  EXPECT_EQ(read.ended, 1'795'780'800'000'000'123);
  EXPECT_EQ(read.tokens.prompt, 7);
  EXPECT_EQ(read.tokens.text, 4);
  EXPECT_EQ(read.tokens.cached, 2);
  EXPECT_EQ(read.tokens.image, 1);
  EXPECT_EQ(read.tokens.output, 5);
  EXPECT_EQ(read.tokens.reasoning, 3);
  ASSERT_TRUE(journal->Clear());
  EXPECT_TRUE(journal->records().empty());
}

TEST(Journal, HasOneServerHoweverOftenItIsOpened) {
  const TemporaryFolder folder;
  const std::string path = folder / "journal";
  const std::string server = Journal::Open(path).value()->server();
  EXPECT_TRUE(server.starts_with("server_")) << server;
  {
    const auto journal = Journal::Open(path).value();
    EXPECT_EQ(journal->server(), server);
    ASSERT_TRUE(journal->Append(Record("r1")));
    ASSERT_TRUE(journal->Clear());
    ASSERT_TRUE(journal->Append(Record("r2")));
  }
  const auto journal = Journal::Open(path).value();
  EXPECT_EQ(journal->server(), server);
  ASSERT_EQ(journal->records().size(), 1);
  EXPECT_EQ(journal->records()[0].request, "r2");
  EXPECT_NE(Journal::Open(folder / "another").value()->server(), server);
}

TEST(Journal, WhatIsNoJournalStaysAsItIs) {
  const TemporaryFolder folder;
  const std::string path = folder / "notes";
  std::string whole;
  {
    const auto journal = Journal::Open(folder / "journal").value();
    ASSERT_TRUE(journal->Append(Record("r1")));
    whole = ReadFile(folder / "journal").value();
  }
  const std::string other_version = JournalHead("server_1") + JournalHead("server_2");
  for (const std::string& text :
       {std::string("x"), std::string("a note that somebody wants to keep\n"),
        std::string(4096, '\0'), "x" + whole, whole.substr(8), other_version}) {
    ASSERT_TRUE(WriteFileAtomically(path, text));
    const auto opened = Journal::Open(path);
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().message,
              path + ": expected a journal of this version, found something else");
    EXPECT_EQ(ReadFile(path).value(), text);
  }
}

TEST(Journal, ItsFirstRecordMayBeTorn) {
  const TemporaryFolder folder;
  const std::string path = folder / "journal";
  const std::string head = JournalHead(Journal::Open(path).value()->server());
  for (size_t size = 0; size < head.size(); ++size) {
    for (const std::string& torn : {head.substr(0, size), std::string(size, '\0')}) {
      ASSERT_TRUE(WriteFileAtomically(path, torn));
      EXPECT_TRUE(Journal::Open(path)) << size;
    }
  }
}

TEST(Journal, ATailThatACrashToreIsCutOff) {
  const TemporaryFolder folder;
  const std::string path = folder / "journal";
  size_t one = 0;
  {
    const auto journal = Journal::Open(path).value();
    ASSERT_TRUE(journal->Append(Record("r1")));
    one = std::filesystem::file_size(path);
    ASSERT_TRUE(journal->Append(Record("r2")));
  }
  const std::string whole = ReadFile(path).value();
  for (size_t size = one; size < whole.size(); ++size) {
    ASSERT_TRUE(WriteFileAtomically(path, whole.substr(0, size)));
    {
      const auto journal = Journal::Open(path).value();
      ASSERT_EQ(journal->records().size(), 1) << size;
      ASSERT_TRUE(journal->Append(Record("r3")));
    }
    const auto again = Journal::Open(path).value();
    ASSERT_EQ(again->records().size(), 2) << size;
    EXPECT_EQ(again->records()[1].request, "r3");
  }
  std::string bent = whole;
  bent.back() ^= 1;
  ASSERT_TRUE(WriteFileAtomically(path, bent));
  EXPECT_EQ(Journal::Open(path).value()->records().size(), 1);
}

TEST(Journal, IsThatOfOneProcess) {
  const TemporaryFolder folder;
  const auto journal = Journal::Open(folder / "journal").value();
  const auto second = Journal::Open(folder / "journal");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(Journal::Open((folder / "none") + "/journal"));
}

TEST(Journal, AfterTheDiskFailedNothingIsWritten) {
  const TemporaryFolder folder;
  const std::string path = folder / "journal";
  const auto journal = Journal::Open(path).value();
  ASSERT_TRUE(journal->Append(Record("r1")));
  // A file that may not grow is as a disk that is full.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = std::filesystem::file_size(path) + 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status failed = journal->Append(Record("r2"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(failed);
  const Status later = journal->Append(Record("r3"));
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().message, path + ": nothing is written into it after the disk failed");
  EXPECT_EQ(journal->records().size(), 1);
}

}  // namespace
}  // namespace fulmen
