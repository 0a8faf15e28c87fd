// A ledger in a file, which SQLite keeps.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "accounts/ledger.h"
#include "accounts/testing/ledger_fixture.h"

namespace fulmen {
namespace {

class LedgerFile : public LedgerFixture {
 protected:
  LedgerFile() : LedgerFixture("SQLite") {}
};

TEST_F(LedgerFile, ABackupIsWholeAndMadeWhileRequestsGoOn) {
  constexpr int kRequests = 300;
  Deposit(100'000'000);
  const std::string key = AddKey();
  std::atomic<bool> done = false;
  std::thread client([&] {
    for (int i = 0; i < kRequests || !done; ++i) {
      const std::string id = "r" + std::to_string(i);
      ASSERT_TRUE(ledger_->Admit({id, key, "m", 5}));
      ASSERT_TRUE(ledger_->Settle(id, Text(5, 1), std::string(200, 'x')));
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string copy = folder_ / "copy";
  const Status made = ledger_->Backup(copy);
  done = true;
  client.join();
  ASSERT_TRUE(made) << made.error().message;
  const Status again = ledger_->Backup(copy);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kConflict);
  const auto opened = Ledger::Open({.database = copy});
  ASSERT_TRUE(opened) << opened.error().message;
  const auto lines = (*opened)->Usage("acme", UsageGroup::kModel, 0, INT64_MAX).value();
  ASSERT_EQ(lines.size(), 1);
  EXPECT_EQ((*opened)->BalanceOf("acme")->balance.nanos, 100'000'000 - lines[0].charge.nanos);
  EXPECT_FALSE(ledger_->Backup((folder_ / "none") + "/copy"));
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
    files += file.path().filename().string().starts_with("copy") ? 1 : 0;
  }
  EXPECT_EQ(files, 2) << "the copy and its log: nothing else is left behind";
}

TEST_F(LedgerFile, AnotherProcessIsToldWhoHasIt) {
  const auto second = Ledger::Open({.database = options_.database});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(second.error().message.starts_with(options_.database)) << second.error().message;
}

}  // namespace
}  // namespace fulmen
