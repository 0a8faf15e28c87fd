// Servers that share a ledger in PostgreSQL.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "accounts/ledger.h"
#include "accounts/testing/ledger_fixture.h"

namespace fulmen {
namespace {

using Kind = Refusal::Kind;
using std::chrono::milliseconds;

class LedgerServers : public LedgerFixture {
 protected:
  LedgerServers() : LedgerFixture("PostgreSQL") {
    options_.lease_seconds = 2;
    options_.clock = {};
  }

  LedgerOptions Other(const std::string& journal = "journal of another") const {
    LedgerOptions options = options_;
    options.journal = folder_ / journal;
    return options;
  }

  // Whether it comes true within `longest`.
  template <class Condition>
  static bool Soon(milliseconds longest, const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + longest;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return true;
  }

  // Runs `body` in a process of its own, which ends at once when it is done.
  template <class Body>
  static pid_t InChild(const Body& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body());
    return child;
  }

  static int ExitOf(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(LedgerServers, ALoginIsKnownToTheOtherUntilItEnds) {
  const auto other = Ledger::Open(Other()).value();
  const NewKey made = ledger_->AddKey("acme", {.name = "one"}).value();
  const Secret login = ledger_->AddLogin(made.key.id).value();
  const auto known = [&] { return other->AuthenticateLogin(login.Reveal()).has_value(); };
  EXPECT_TRUE(Soon(milliseconds(1000), known));
  ASSERT_TRUE(ledger_->EndLogin(login.Reveal()));
  EXPECT_TRUE(Soon(milliseconds(1000), [&] { return !known(); }));

  const Secret second = other->AddLogin(made.key.id).value();
  ASSERT_TRUE(ledger_->RevokeKey(made.key.id));
  EXPECT_TRUE(Soon(milliseconds(1000),
                   [&] { return !other->AuthenticateLogin(second.Reveal()).has_value(); }));
}

TEST_F(LedgerServers, ARevokedKeyStopsInTheOtherWithinASecond) {
  const auto other = Ledger::Open(Other()).value();
  const NewKey made = ledger_->AddKey("acme", {.name = "one"}).value();
  const auto known = [&] { return other->Authenticate(made.secret.Reveal()).has_value(); };
  EXPECT_TRUE(Soon(milliseconds(1'000), known)) << "a new one is known there";
  ASSERT_TRUE(ledger_->RevokeKey(made.key.id));
  EXPECT_TRUE(Soon(milliseconds(1'000), [&] { return !known(); }));
  EXPECT_FALSE(ledger_->Authenticate(made.secret.Reveal()));
  // Without word of it, too.
  const NewKey second = ledger_->AddKey("acme", {.name = "two"}).value();
  EXPECT_TRUE(Soon(milliseconds(1'000),
                   [&] { return other->Authenticate(second.secret.Reveal()).has_value(); }));
  ExecuteOutside(options_,
                 "UPDATE key_changes SET last = last + 1; UPDATE keys SET revoked = 1, "
                 "changed = (SELECT last FROM key_changes) WHERE id = '" +
                     second.key.id + "'");
  EXPECT_TRUE(Soon(milliseconds(1'000),
                   [&] { return !other->Authenticate(second.secret.Reveal()).has_value(); }));
}

TEST_F(LedgerServers, ShareTheLimitsOfAKey) {
  const auto other = Ledger::Open(Other()).value();
  Deposit(1'000'000);
  const std::string key = AddKey({.requests_per_minute = 4, .concurrent = 3});
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 1}));
  ASSERT_TRUE(other->Admit({"r2", key, "m", 1}));
  EXPECT_EQ(other->Admit({"r1", key, "m", 1}).error().error.code, ErrorCode::kConflict);
  const Admission third = ledger_->Admit({"r3", key, "m", 1});
  ASSERT_TRUE(third);
  EXPECT_EQ(third->limits.requests.left, 1);
  EXPECT_EQ(other->Admit({"r4", key, "m", 1}).error().kind, Kind::kConcurrent);
  ASSERT_TRUE(ledger_->Settle("r1", {}, "stop"));
  ASSERT_TRUE(ledger_->Admit({"r4", key, "m", 1}));
  ASSERT_TRUE(other->Settle("r2", {}, "stop"));
  EXPECT_EQ(other->Admit({"r5", key, "m", 1}).error().kind, Kind::kRequests);
}

TEST_F(LedgerServers, OfTwoProcessesNoneSpendsABalanceTwice) {
  constexpr int kMoneyFor = 37;
  constexpr int kEach = 50;
  Deposit(kMoneyFor * 256 * 8 + 77);
  const std::string key = AddKey();
  ledger_.reset();  // no threads while processes are made
  const auto serve = [&](const std::string& name) {
    const auto ledger = Ledger::Open(Other(name)).value();
    std::atomic<int> passed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kEach; ++i) {
      threads.emplace_back([&, i] {
        const Admission admission = ledger->Admit({name + std::to_string(i), key, "m", 0});
        if (admission) ++passed;
        if (!admission && admission.error().kind != Kind::kBalance) _exit(255);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return passed.load();
  };
  const pid_t one = InChild([&] { return serve("one"); });
  const pid_t two = InChild([&] { return serve("two"); });
  EXPECT_EQ(ExitOf(one) + ExitOf(two), kMoneyFor);
  // Their requests have crashed once their leases are over, and what they held is free.
  Open();
  EXPECT_EQ(Left().held.nanos, kMoneyFor * 256 * 8);
  EXPECT_TRUE(Soon(milliseconds(10'000), [&] { return Left().held.nanos == 0; }));
  const auto rows = ledger_->Rows("acme", 0, INT64_MAX, 1'000).value();
  EXPECT_EQ(rows.size(), kMoneyFor);
  EXPECT_EQ(rows[0].outcome, "crashed");
  EXPECT_EQ(Left().balance.nanos, kMoneyFor * 256 * 8 + 77);
}

TEST_F(LedgerServers, DoNotWaitForEachOtherInCircles) {
  constexpr int kOrganisations = 4;
  std::vector<std::string> keys;
  for (int i = 0; i < kOrganisations; ++i) {
    const std::string name = "organisation " + std::to_string(i);
    ASSERT_TRUE(ledger_->AddOrganisation(name, "CNY"));
    ASSERT_TRUE(ledger_->Deposit(name, {kSecond}, name));
    keys.push_back(ledger_->AddKey(name, {.name = "one"})->key.id);
  }
  std::unique_ptr<Ledger> other = Ledger::Open(Other()).value();
  constexpr int kClients = 16;
  constexpr int kEach = 25;
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      Ledger& ledger = client % 2 == 0 ? *ledger_ : *other;
      for (int i = 0; i < kEach; ++i) {
        const std::string id = fmt::format("r{}.{}", client, i);
        const std::string& key = keys[static_cast<size_t>(client * 7 + i * 3) % keys.size()];
        ASSERT_TRUE(ledger.Admit({id, key, "m", 1}));
        ASSERT_TRUE(ledger.Settle(id, Text(1, 1), "stop"));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  int64_t left = 0;
  for (int i = 0; i < kOrganisations; ++i) {
    left += ledger_->BalanceOf("organisation " + std::to_string(i))->balance.nanos;
  }
  EXPECT_EQ(left, kOrganisations * kSecond - kClients * kEach * 9);
  ledger_.reset();
  other.reset();  // PostgreSQL counts once their connections are closed
  std::this_thread::sleep_for(milliseconds(200));
  pqxx::connection connection(options_.database);
  EXPECT_EQ(
      pqxx::nontransaction(connection)
          .exec1("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]
          .as<int64_t>(),
      0);
}

TEST_F(LedgerServers, ABackupIsForPostgresToMake) {
  const Status refused = ledger_->Backup(folder_ / "copy");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("pg_dump"), std::string::npos);
}

TEST_F(LedgerServers, OneOfALaterVersionIsRefused) {
  ExecuteOutside(options_, "INSERT INTO migrations VALUES (1000)");
  const auto refused = Ledger::Open(Other());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST_F(LedgerServers, AdministrationNeedsNoJournal) {
  LedgerOptions options = Other();
  options.journal.clear();
  const auto administration = Ledger::Open(options).value();
  EXPECT_TRUE(administration->Deposit("acme", {100}, "by hand").value());
  EXPECT_EQ(Left().balance.nanos, 100);
}

TEST_F(LedgerServers, OpenSaysWhatItNeeds) {
  LedgerOptions options = Other();
  options.lease_seconds = 1;
  EXPECT_EQ(Ledger::Open(options).error().code, ErrorCode::kInvalidArgument);
  options = Other();
  options.database = "postgresql:///none?host=/nowhere";
  EXPECT_EQ(Ledger::Open(options).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace fulmen
