#include "accounts/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using Kind = Refusal::Kind;
using testing::TemporaryFolder;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'795'780'800 * kSecond;  // 2026-11-27, at noon
// One token of input is 1 of the smallest, one of output 8, one of an image 2; a cached one is
// free.
constexpr Prices kPrices = {.text = {1}, .cached = {0}, .image = {2}, .output = {8}};

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() {
    Open();
    EXPECT_TRUE(ledger_->AddOrganisation("acme", "CNY"));
    EXPECT_TRUE(ledger_->SetPrices("m", "CNY", kPrices));
  }

  void Open() {
    ledger_.reset();
    Result<std::unique_ptr<Ledger>> opened = Ledger::Open(path_, [this] { return now_.load(); });
    ASSERT_TRUE(opened) << opened.error().message;
    ledger_ = *std::move(opened);
  }

  std::string AddKey(const KeyLimits& limits = {}) {
    const auto added = ledger_->AddKey("acme", {.name = "a key", .limits = limits});
    EXPECT_TRUE(added);
    return added->key.id;
  }

  void Deposit(int64_t nanos) {
    EXPECT_TRUE(ledger_->Deposit("acme", {nanos}, "ref " + std::to_string(++deposits_)).value());
  }

  Balance Left() { return ledger_->BalanceOf("acme").value(); }

  static TokenCounts Text(int64_t prompt, int64_t output) {
    return {.prompt = prompt, .text = prompt, .output = output};
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_ / "ledger";
  std::atomic<int64_t> now_ = kStart;
  std::unique_ptr<Ledger> ledger_;
  int deposits_ = 0;
};

TEST_F(LedgerTest, ARequestFromItsAdmissionToItsRow) {
  const std::string key = AddKey();
  Deposit(100'000);
  EXPECT_EQ(ledger_->Admit({"r1", key, "m", 1'000}).value(), 256);
  EXPECT_EQ(Left().held.nanos, 1'000 * 2 + 256 * 8);  // the prompt may be all images
  EXPECT_EQ(ledger_->Extend("r1").value(), 512);
  EXPECT_EQ(ledger_->Extend("r1").value(), 1'024);
  EXPECT_EQ(Left().held.nanos, 1'000 * 2 + (256 + 512 + 1'024) * 8);
  now_ += kSecond;
  const TokenCounts used = {
      .prompt = 1'000, .text = 300, .cached = 600, .image = 100, .output = 700, .reasoning = 50};
  EXPECT_EQ(ledger_->Settle("r1", used, "stop").value().nanos, 300 + 200 + 700 * 8);
  EXPECT_EQ(Left().balance.nanos, 100'000 - 6'100);
  EXPECT_EQ(Left().held.nanos, 0);
  const auto lines = ledger_->Usage("acme", UsageGroup::kKey, kStart, kStart + 2 * kSecond);
  ASSERT_TRUE(lines);
  ASSERT_EQ(lines->size(), 1);
  EXPECT_EQ(lines->front().name, key);
  EXPECT_EQ(lines->front().tokens.cached, 600);
  EXPECT_EQ(lines->front().tokens.reasoning, 50);
  EXPECT_EQ(lines->front().charge.nanos, 6'100);
  EXPECT_TRUE(ledger_->Usage("acme", UsageGroup::kKey, kStart, kStart + kSecond)->empty());
}

TEST_F(LedgerTest, WhatIsWrongAtTheEndLeavesTheRequestOpen) {
  const std::string key = AddKey();
  Deposit(100'000);
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 10}));
  EXPECT_EQ(ledger_->Admit({"r1", key, "m", 10}).error().error.code, ErrorCode::kConflict);
  EXPECT_FALSE(ledger_->Settle("r1", Text(11, 0), "stop"));  // more than was held for
  EXPECT_FALSE(ledger_->Settle("r1", Text(10, 257), "stop"));
  TokenCounts torn = Text(10, 0);
  torn.cached = 1;
  EXPECT_FALSE(ledger_->Settle("r1", torn, "stop"));
  EXPECT_EQ(Left().held.nanos, 10 * 2 + 256 * 8);
  EXPECT_EQ(ledger_->Settle("r1", Text(4, 0), "cancelled").value().nanos, 4);  // in its prefill
  EXPECT_EQ(ledger_->Settle("r1", Text(4, 0), "stop").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ledger_->Extend("r1").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ledger_->Admit({"r1", key, "m", 10}).error().error.code, ErrorCode::kConflict);
  EXPECT_EQ(Left().balance.nanos, 100'000 - 4);
}

TEST_F(LedgerTest, OfFiftyAtOnceTenPassWhereThereIsMoneyForTen) {
  const std::string key = AddKey();
  Deposit(10 * (100 * 2 + 256 * 8) + 77);
  std::atomic<int> passed = 0;
  std::atomic<int> poor = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&, i] {
      const Admission admission = ledger_->Admit({"r" + std::to_string(i), key, "m", 100});
      if (admission) ++passed;
      if (!admission && admission.error().kind == Kind::kBalance) ++poor;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed, 10);
  EXPECT_EQ(poor, 40);
}

TEST_F(LedgerTest, AnExhaustedBalanceExtendsToItsLastToken) {
  const std::string key = AddKey();
  Deposit(256 * 8 + 100 * 8 + 7);
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 0}));
  EXPECT_EQ(ledger_->Extend("r1").value(), 100);
  EXPECT_EQ(ledger_->Extend("r1").value(), 0);
  EXPECT_EQ(ledger_->Settle("r1", Text(0, 356), "balance").value().nanos, 356 * 8);
  EXPECT_EQ(Left().balance.nanos, 7);
}

TEST_F(LedgerTest, NothingIsOverdrawnWhoeverAsksAtTheSameTime) {
  const std::string key = AddKey();
  constexpr int64_t kDeposit = 60'000;
  Deposit(kDeposit);
  std::atomic<int64_t> charged = 0;
  std::atomic<int64_t> rows = 0;
  const auto client = [&](unsigned seed) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 60; ++i) {
      const std::string id = fmt::format("r{}.{}", seed, i);
      const auto prompt = static_cast<int64_t>(random() % 200);
      const Admission admission = ledger_->Admit({id, key, "m", prompt});
      if (!admission) continue;
      int64_t output = *admission;
      for (unsigned k = random() % 4; k > 0; --k) output += ledger_->Extend(id).value();
      const TokenCounts used = Text(prompt, static_cast<int64_t>(random()) % (output + 1) / 8);
      charged += ledger_->Settle(id, used, "stop").value().nanos;
      ++rows;
    }
  };
  const int64_t commits = ledger_->commits();
  std::vector<std::thread> threads;
  for (unsigned i = 1; i <= 16; ++i) threads.emplace_back(client, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(rows, 50);
  EXPECT_LT(ledger_->commits() - commits, 3 * rows) << "what ends together shares a commit";
  EXPECT_EQ(Left().balance.nanos, kDeposit - charged);
  EXPECT_EQ(Left().held.nanos, 0);
  const auto lines = ledger_->Usage("acme", UsageGroup::kModel, 0, kStart + kSecond).value();
  ASSERT_EQ(lines.size(), 1);
  EXPECT_EQ(lines.front().requests, rows);
  EXPECT_EQ(lines.front().charge.nanos, charged);
}

TEST_F(LedgerTest, LimitsOfAMinute) {
  Deposit(100 * kSecond);
  const std::string key = AddKey({.requests_per_minute = 6, .tokens_per_minute = 24'000});
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 9'000}));
  now_ += kSecond;
  const Admission later = ledger_->Admit({"r2", key, "m", 16'000});
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().kind, Kind::kTokens);
  EXPECT_EQ(later.error().wait, 2'780'000'000);
  const Admission never = ledger_->Admit({"r2", key, "m", 24'000});
  EXPECT_EQ(never.error().kind, Kind::kTooLarge);
  EXPECT_EQ(never.error().error.message,
            "at most 24000 tokens a minute are expected of this key, found 24256 in one request, "
            "256 of answer among them");
  // What was not used comes back.
  ASSERT_TRUE(ledger_->Settle("r1", Text(9'000, 0), "cancelled"));
  EXPECT_TRUE(ledger_->Admit({"r2", key, "m", 15'100}));
  for (int i = 3; i <= 6; ++i) {
    ASSERT_TRUE(ledger_->SetLimits(key, {.requests_per_minute = 6}));
    EXPECT_TRUE(ledger_->Admit({"r" + std::to_string(i), key, "m", 1}));
  }
  const Admission seventh = ledger_->Admit({"r7", key, "m", 1});
  EXPECT_EQ(seventh.error().kind, Kind::kRequests);
  now_ += seventh.error().wait;
  EXPECT_TRUE(ledger_->Admit({"r7", key, "m", 1}));
}

TEST_F(LedgerTest, RequestsAtATime) {
  Deposit(100 * kSecond);
  const std::string key = AddKey({.concurrent = 2});
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 1}));
  ASSERT_TRUE(ledger_->Admit({"r2", key, "m", 1}));
  EXPECT_EQ(ledger_->Admit({"r3", key, "m", 1}).error().kind, Kind::kConcurrent);
  ASSERT_TRUE(ledger_->Settle("r1", Text(1, 0), "stop"));
  EXPECT_TRUE(ledger_->Admit({"r3", key, "m", 1}));
  EXPECT_FALSE(ledger_->SetLimits(key, {.concurrent = -1}));
  EXPECT_FALSE(ledger_->SetLimits("key_none", {}));
}

TEST_F(LedgerTest, AModelWithoutAPriceIsRefused) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  EXPECT_EQ(ledger_->Admit({"r1", key, "other", 1}).error().kind, Kind::kPrice);
  ASSERT_TRUE(ledger_->SetPrices("other", "USD", kPrices));
  EXPECT_EQ(ledger_->Admit({"r1", key, "other", 1}).error().error.message,
            "the model other has no price in CNY");
  EXPECT_FALSE(ledger_->SetPrices("other", "CNY", {.cached = {-1}}));
  ASSERT_TRUE(ledger_->SetPrices("other", "CNY", kPrices));
  EXPECT_TRUE(ledger_->Admit({"r1", key, "other", 1}));
}

TEST_F(LedgerTest, ADepositOfOneReferenceAddsOnce) {
  EXPECT_TRUE(ledger_->Deposit("acme", {500}, "invoice 7").value());
  EXPECT_FALSE(ledger_->Deposit("acme", {500}, "invoice 7").value());
  EXPECT_EQ(Left().balance.nanos, 500);
  EXPECT_EQ(ledger_->Deposit("acme", {501}, "invoice 7").error().code, ErrorCode::kConflict);
  EXPECT_FALSE(ledger_->Deposit("acme", {0}, "invoice 8"));
  EXPECT_EQ(ledger_->Deposit("none", {1}, "invoice 9").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(ledger_->Deposit("acme", {INT64_MAX}, "invoice 10"));  // it would not fit
  EXPECT_EQ(Left().balance.nanos, 500);
}

TEST_F(LedgerTest, KeysAreShownOnceAndLetInUntilTheyEnd) {
  Deposit(1'000'000);
  const NewKey made = ledger_->AddKey("acme", {.name = "one"}).value();
  const NewKey short_lived =
      ledger_->AddKey("acme", {.name = "two", .scope = KeyScope::kAdmin, .expires = kStart + 5})
          .value();
  EXPECT_EQ(made.secret.Reveal().size(), std::string("sk-fulmen-").size() + 43);
  Open();
  ASSERT_TRUE(ledger_->Authenticate(made.secret.Reveal()));
  EXPECT_EQ(ledger_->Authenticate(made.secret.Reveal())->id, made.key.id);
  EXPECT_EQ(ledger_->Authenticate(short_lived.secret.Reveal())->settings.scope, KeyScope::kAdmin);
  EXPECT_FALSE(ledger_->Authenticate(made.secret.Reveal() + "x"));
  EXPECT_FALSE(ledger_->Authenticate(""));
  now_ = kStart + 5;
  EXPECT_FALSE(ledger_->Authenticate(short_lived.secret.Reveal()));
  EXPECT_EQ(ledger_->Admit({"r1", short_lived.key.id, "m", 1}).error().kind, Kind::kKey);
  ASSERT_TRUE(ledger_->RevokeKey(made.key.id));
  EXPECT_FALSE(ledger_->Authenticate(made.secret.Reveal()));
  EXPECT_EQ(ledger_->Admit({"r1", made.key.id, "m", 1}).error().kind, Kind::kKey);
  EXPECT_EQ(ledger_->Keys("acme")->size(), 2) << "they stay";
  EXPECT_NE(ledger_->Keys("acme")->at(0).revoked + ledger_->Keys("acme")->at(1).revoked, 0);
  for (const char* file : {"", "-wal"}) {
    const Result<std::string> bytes = ReadFile(path_ + file);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(bytes->find(made.secret.Reveal().substr(10)), std::string::npos) << file;
  }
}

TEST_F(LedgerTest, DaysAreThoseOfUtc) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  const int64_t midnight = kStart + 12 * 3600 * kSecond;
  for (const int64_t at : {midnight - 1, midnight}) {
    now_ = at;
    const std::string id = std::to_string(at);
    ASSERT_TRUE(ledger_->Admit({id, key, "m", 5}));
    ASSERT_TRUE(ledger_->Settle(id, Text(5, 1), "stop"));
  }
  const auto days = ledger_->Usage("acme", UsageGroup::kDay, 0, midnight + 1).value();
  ASSERT_EQ(days.size(), 2);
  EXPECT_EQ(days[0].name, "2026-11-27");
  EXPECT_EQ(days[1].name, "2026-11-28");
  EXPECT_EQ(days[1].charge.nanos, 13);
}

TEST_F(LedgerTest, WhatWasUsedStaysWritten) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 5}));
  ASSERT_TRUE(ledger_->Settle("r1", Text(5, 1), "stop"));
  ledger_.reset();
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  EXPECT_THROW(database.exec("UPDATE usage SET charge = 0"), SQLite::Exception);
  EXPECT_THROW(database.exec("DELETE FROM usage"), SQLite::Exception);
  EXPECT_THROW(database.exec("UPDATE organisations SET balance = -1"), SQLite::Exception);
}

TEST_F(LedgerTest, AnotherProcessIsToldWhoHasIt) {
  const auto second = Ledger::Open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(second.error().message.starts_with(path_)) << second.error().message;
}

}  // namespace
}  // namespace fulmen
