// What holds for a ledger in either database.
#include "accounts/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "accounts/testing/ledger_fixture.h"
#include "base/file_io.h"

namespace fulmen {
namespace {

using Kind = Refusal::Kind;

const std::string kPostgres = "PostgreSQL";

class LedgerTest : public LedgerFixture, public ::testing::WithParamInterface<std::string> {
 protected:
  LedgerTest() : LedgerFixture(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(In, LedgerTest, ::testing::Values("SQLite", kPostgres),
                         [](const auto& test) { return test.param; });

TEST_P(LedgerTest, ARequestFromItsAdmissionToItsRow) {
  const std::string key = AddKey();
  Deposit(100'000);
  EXPECT_EQ(ledger_->Admit({"r1", key, "m", 1'000}).value().output, 256);
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

TEST_P(LedgerTest, WhatIsWrongAtTheEndLeavesTheRequestOpen) {
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

TEST_P(LedgerTest, OfFiftyAtOnceTenPassWhereThereIsMoneyForTen) {
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

TEST_P(LedgerTest, AnExhaustedBalanceExtendsToItsLastToken) {
  const std::string key = AddKey();
  Deposit(256 * 8 + 100 * 8 + 7);
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 0}));
  EXPECT_EQ(ledger_->Extend("r1").value(), 100);
  EXPECT_EQ(ledger_->Extend("r1").value(), 0);
  EXPECT_EQ(ledger_->Settle("r1", Text(0, 356), "balance").value().nanos, 356 * 8);
  EXPECT_EQ(Left().balance.nanos, 7);
}

TEST_P(LedgerTest, NothingIsOverdrawnWhoeverAsksAtTheSameTime) {
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
      int64_t output = admission->output;
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

TEST_P(LedgerTest, LimitsOfAMinute) {
  Deposit(100 * kSecond);
  const std::string key = AddKey({.requests_per_minute = 6, .tokens_per_minute = 24'000});
  const Admission first = ledger_->Admit({"r1", key, "m", 9'000});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->limits.requests.limit, 6);
  EXPECT_EQ(first->limits.requests.left, 5);
  EXPECT_EQ(first->limits.requests.reset, 10 * kSecond);
  EXPECT_EQ(first->limits.tokens.limit, 24'000);
  EXPECT_EQ(first->limits.tokens.left, 14'744);
  EXPECT_EQ(first->limits.tokens.reset, 23'140'000'000);
  now_ += kSecond;
  const Admission later = ledger_->Admit({"r2", key, "m", 16'000});
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().kind, Kind::kTokens);
  EXPECT_EQ(later.error().wait, 2'780'000'000);
  EXPECT_EQ(later.error().limits.tokens.left, 15'144);
  EXPECT_EQ(later.error().limits.requests.left, 5) << "nothing was taken";
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

TEST_P(LedgerTest, SeveralAnswersHoldSoManyTimesWhatOneDoes) {
  Deposit(1'000'000);
  const std::string key = AddKey({.tokens_per_minute = 10'000});
  const Admission four = ledger_->Admit({"r1", key, "m", 100, 4});
  ASSERT_TRUE(four);
  EXPECT_EQ(four->output, 1'024);
  EXPECT_EQ(four->limits.tokens.left, 10'000 - 1'124);
  EXPECT_EQ(Left().held.nanos, 100 * 2 + 1'024 * 8);
  EXPECT_EQ(ledger_->Extend("r1").value(), 2'048);
  EXPECT_EQ(ledger_->Extend("r1").value(), 4'096);
  EXPECT_FALSE(ledger_->Admit({"r2", key, "m", 100, 0}));
}

TEST_P(LedgerTest, WhoDoesNotWaitIsToldAfterTheCommit) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  std::promise<Money> charge;
  ledger_->Admit({"r1", key, "m", 10}, [&](const Admission& admission) {
    ASSERT_TRUE(admission);
    ledger_->Extend("r1", [&](const Result<int64_t>& more) {
      EXPECT_EQ(more.value(), 512);
      ledger_->Settle("r1", Text(10, 768), "stop",
                      [&](const Result<Money>& settled) { charge.set_value(settled.value()); });
    });
  });
  EXPECT_EQ(charge.get_future().get().nanos, 10 + 768 * 8);
  ledger_->Admit({"r2", key, "m", 10}, [](const Admission& admission) { EXPECT_TRUE(admission); });
  ledger_.reset();  // does what it was asked before
}

TEST_P(LedgerTest, AKeySpendsWhatItsDayAllows) {
  constexpr int64_t kFirst = 256 * 8;
  ASSERT_TRUE(ledger_->AddOrganisation("berlin", "CNY", "Europe/Berlin"));
  ASSERT_TRUE(ledger_->Deposit("berlin", {1'000'000}, "first"));
  const KeyLimits limits = {.spend_per_day = {2 * kFirst + 100 * 8}};
  const std::string key = ledger_->AddKey("berlin", {.name = "a key", .limits = limits})->key.id;
  now_ = 1'774'736'000 * kSecond;  // 2026-03-28, 23:13:20 in Berlin; the next day has 23 hours
  const int64_t midnight = 1'774'738'800 * kSecond;
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 0}));
  ASSERT_TRUE(ledger_->Admit({"r2", key, "m", 0}));
  const Admission third = ledger_->Admit({"r3", key, "m", 0});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().kind, Kind::kSpend);
  EXPECT_EQ(third.error().wait, midnight - now_);
  EXPECT_EQ(third.error().error.message,
            "0.000002048 CNY may be needed, and 0.0000008 are left of the 0.000004896 that this "
            "key may spend on 2026-03-28 (Europe/Berlin)");
  EXPECT_EQ(ledger_->Extend("r1").value(), 100) << "what is left of the day";
  EXPECT_EQ(ledger_->Extend("r2").value(), 0);
  ASSERT_TRUE(ledger_->Settle("r1", Text(0, 356), "stop"));
  ASSERT_TRUE(ledger_->Settle("r2", Text(0, 256), "stop"));
  EXPECT_FALSE(ledger_->Admit({"r3", key, "m", 0}));
  now_ = midnight;
  ASSERT_TRUE(ledger_->Admit({"r3", key, "m", 0}));
  ASSERT_TRUE(ledger_->Settle("r3", Text(0, 1), "stop"));
  ASSERT_TRUE(ledger_->SetLimits(key, {.spend_per_day = {kFirst}}));
  EXPECT_EQ(ledger_->Admit({"r4", key, "m", 0}).error().wait, 23 * 3600 * kSecond);
  now_ = midnight + 23 * 3600 * kSecond;
  ASSERT_TRUE(ledger_->Admit({"r4", key, "m", 0}));
  ASSERT_TRUE(ledger_->Settle("r4", Text(0, 2), "stop"));
  const auto days = ledger_->Usage("berlin", UsageGroup::kDay, 0, now_ + 1).value();
  ASSERT_EQ(days.size(), 3);
  EXPECT_EQ(days[0].name, "2026-03-28");
  EXPECT_EQ(days[0].requests, 2);
  EXPECT_EQ(days[1].name, "2026-03-29");
  EXPECT_EQ(days[1].charge.nanos, 8);
  EXPECT_EQ(days[2].name, "2026-03-30");
  EXPECT_EQ(days[2].charge.nanos, 16);
  EXPECT_FALSE(ledger_->SetLimits(key, {.spend_per_day = {-1}}));
  EXPECT_FALSE(ledger_->AddOrganisation("nowhere", "CNY", "Europe/Nowhere"));
}

TEST_P(LedgerTest, RequestsAtATime) {
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

TEST_P(LedgerTest, AModelWithoutAPriceIsRefused) {
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

TEST_P(LedgerTest, ADepositOfOneReferenceAddsOnce) {
  EXPECT_TRUE(ledger_->Deposit("acme", {500}, "invoice 7").value());
  EXPECT_FALSE(ledger_->Deposit("acme", {500}, "invoice 7").value());
  EXPECT_EQ(Left().balance.nanos, 500);
  EXPECT_EQ(ledger_->Deposit("acme", {501}, "invoice 7").error().code, ErrorCode::kConflict);
  EXPECT_FALSE(ledger_->Deposit("acme", {0}, "invoice 8"));
  EXPECT_EQ(ledger_->Deposit("none", {1}, "invoice 9").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(ledger_->Deposit("acme", {INT64_MAX}, "invoice 10"));  // it would not fit
  EXPECT_EQ(Left().balance.nanos, 500);
}

TEST_P(LedgerTest, ListsSayWhatThereIs) {
  ASSERT_TRUE(ledger_->AddOrganisation("zoo", "USD", "America/New_York"));
  const auto organisations = ledger_->Organisations().value();
  ASSERT_EQ(organisations.size(), 2);
  EXPECT_EQ(organisations[0].zone, "UTC");
  EXPECT_EQ(organisations[1].name, "zoo");
  EXPECT_EQ(organisations[1].currency, "USD");
  EXPECT_EQ(organisations[1].zone, "America/New_York");
  EXPECT_FALSE(ledger_->AddPrices("m", "CNY", {}).value()) << "it has some";
  EXPECT_TRUE(ledger_->AddPrices("m", "USD", {.output = {3}}).value());
  const auto prices = ledger_->AllPrices().value();
  ASSERT_EQ(prices.size(), 2);
  EXPECT_EQ(prices[0].prices.output, kPrices.output);
  EXPECT_EQ(prices[1].currency, "USD");
  EXPECT_EQ(prices[1].prices.output.nanos, 3);
  Deposit(5);
  Deposit(6);
  const auto deposits = ledger_->Deposits("acme").value();
  ASSERT_EQ(deposits.size(), 2);
  EXPECT_EQ(deposits[1].reference, "ref 2");
  EXPECT_EQ(deposits[1].amount.nanos, 6);
  EXPECT_EQ(deposits[1].at, kStart);
}

TEST_P(LedgerTest, RowsComeInPagesInTheOrderInWhichTheyEnded) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  for (const char* id : {"c", "b", "a"}) {
    ASSERT_TRUE(ledger_->Admit({id, key, "m", 5}));
    now_ += id[0] == 'b' ? 1 : 0;  // "b" and "a" end at the same time
    ASSERT_TRUE(ledger_->Settle(id, {.prompt = 5, .text = 3, .cached = 2, .output = 1}, "stop"));
  }
  const auto first = ledger_->Rows("acme", kStart, kStart + 2, 2).value();
  ASSERT_EQ(first.size(), 2);
  EXPECT_EQ(first[0].request, "c");
  EXPECT_EQ(first[0].key, key);
  EXPECT_EQ(first[0].model, "m");
  EXPECT_EQ(first[0].outcome, "stop");
  EXPECT_EQ(first[0].tokens.cached, 2);
  EXPECT_EQ(first[0].prices.image, kPrices.image);
  EXPECT_EQ(first[0].charge.nanos, 3 + 8);
  EXPECT_EQ(first[1].request, "a");
  EXPECT_EQ(first[1].started, kStart + 1);
  EXPECT_EQ(first[1].ended, kStart + 1);
  const auto second = ledger_->Rows("acme", kStart, kStart + 2, 2, "a").value();
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].request, "b");
  EXPECT_EQ(ledger_->Rows("acme", kStart + 1, kStart + 2, 9, "c")->size(), 2);
  EXPECT_FALSE(ledger_->Rows("acme", kStart, kStart + 2, 2, "none"));
}

TEST_P(LedgerTest, KeysAreShownOnceAndLetInUntilTheyEnd) {
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
  // Who steals the database has no key.
  std::string stolen;
  if (PrivatePostgres* postgres = PrivatePostgres::Shared(); GetParam() == kPostgres) {
    stolen = postgres->Dump(options_.database);
  } else {
    stolen = ReadFile(options_.database).value() + ReadFile(options_.database + "-wal").value();
  }
  EXPECT_NE(stolen.find(made.key.id), std::string::npos);
  EXPECT_EQ(stolen.find(made.secret.Reveal().substr(10)), std::string::npos);
}

TEST_P(LedgerTest, ALoginLastsAsLongAsItsKeyAndAMonthAtMost) {
  const NewKey made = ledger_->AddKey("acme", {.name = "one"}).value();
  const auto login = [&] { return ledger_->AddLogin(made.key.id).value().Reveal(); };
  const auto known = [&](const std::string& secret) {
    const auto key = ledger_->AuthenticateLogin(secret);
    EXPECT_TRUE(!key || key->id == made.key.id);
    return key.has_value();
  };
  const std::string first = login();
  const std::string second = login();
  EXPECT_TRUE(known(first));
  EXPECT_FALSE(ledger_->Authenticate(first)) << "it is no key";
  EXPECT_FALSE(known(made.secret.Reveal())) << "nor is a key a login";
  EXPECT_FALSE(known(""));

  ASSERT_TRUE(ledger_->EndLogin(first));
  ASSERT_TRUE(ledger_->EndLogin(first));
  ASSERT_TRUE(ledger_->EndLogin("none"));
  EXPECT_FALSE(known(first));
  EXPECT_TRUE(known(second));
  Open();
  EXPECT_FALSE(known(first));
  EXPECT_TRUE(known(second)) << "it outlives the server";

  now_ = kStart + Ledger::kLoginSeconds * kSecond;
  EXPECT_FALSE(known(second));
  const std::string third = login();
  EXPECT_TRUE(known(third));
  ASSERT_TRUE(ledger_->RevokeKey(made.key.id));
  EXPECT_FALSE(known(third));
  EXPECT_EQ(ledger_->Keys("acme")->size(), 1);
  EXPECT_FALSE(ledger_->AddLogin("key_none"));
}

TEST_P(LedgerTest, DaysAreThoseOfUtc) {
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

TEST_P(LedgerTest, WhatWasUsedStaysWritten) {
  Deposit(1'000'000);
  const std::string key = AddKey();
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 5}));
  ASSERT_TRUE(ledger_->Settle("r1", Text(5, 1), "stop"));
  ledger_.reset();
  for (const char* crime : {"UPDATE usage SET charge = 0", "DELETE FROM usage",
                            "UPDATE organisations SET balance = -1"}) {
    EXPECT_ANY_THROW(ExecuteOutside(options_, crime)) << crime;
  }
}

}  // namespace
}  // namespace fulmen
