// A ledger in PostgreSQL that goes away for some time.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "accounts/ledger.h"
#include "accounts/testing/ledger_fixture.h"
#include "base/file_io.h"

namespace fulmen {
namespace {

using Kind = Refusal::Kind;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LedgerOutage : public LedgerFixture {
 protected:
  LedgerOutage() : LedgerFixture("PostgreSQL"), postgres_(PrivatePostgres::Shared()) {
    options_.lease_seconds = 2;
    options_.clock = {};
  }

  void OpenOther() {
    LedgerOptions options = options_;
    options.journal = folder_ / "journal of another";
    other_ = Ledger::Open(options).value();
  }

  // What clients were told, who go on while `outage` happens.
  struct Told {
    std::mutex mutex;
    std::map<std::string, int64_t> charges;  // of requests that were settled
    int refused = 0;
    SteadyClock::duration longest = {};  // an admission took
  };

  void Serve(unsigned number, const std::string& key, const std::atomic<bool>& end, Told& told) {
    Ledger& ledger = number % 2 == 0 ? *ledger_ : *other_;
    std::minstd_rand random(number);
    for (int i = 0; !end; ++i) {
      const std::string id = fmt::format("r{}.{}", number, i);
      const auto prompt = static_cast<int64_t>(random() % 1'000);
      const auto begin = SteadyClock::now();
      const Admission admission = ledger.Admit({id, key, "m", prompt});
      {
        const std::lock_guard lock(told.mutex);
        told.longest = std::max(told.longest, SteadyClock::now() - begin);
        if (!admission) ++told.refused;
      }
      if (!admission) {
        EXPECT_EQ(admission.error().kind, Kind::kUnavailable) << admission.error().error.message;
        EXPECT_EQ(admission.error().wait, kSecond);
        continue;
      }
      int64_t output = admission->output;
      if (random() % 2 == 0) {
        const Result<int64_t> more = ledger.Extend(id);
        if (more) output += *more;
        EXPECT_TRUE(more || more.error().code == ErrorCode::kUnavailable) << more.error().message;
      }
      const TokenCounts used = Text(prompt, static_cast<int64_t>(random()) % output);
      const Result<Money> charge = ledger.Settle(id, used, "stop");
      ASSERT_TRUE(charge) << charge.error().message;
      const std::lock_guard lock(told.mutex);
      told.charges[id] = charge->nanos;
    }
  }

  // With two servers.
  void GoThrough(const std::function<void()>& outage, Told& told) {
    OpenOther();
    Deposit(kLargeDeposit);
    const std::string key = AddKey();
    std::atomic<bool> end = false;
    std::vector<std::thread> clients;
    for (unsigned number = 1; number <= 8; ++number) {
      clients.emplace_back([&, number] { Serve(number, key, end, told); });
    }
    std::this_thread::sleep_for(milliseconds(500));
    outage();
    std::this_thread::sleep_for(milliseconds(500));
    end = true;
    for (std::thread& client : clients) client.join();
    // Also where the last ones are in the journal still.
    for (Ledger* ledger : {ledger_.get(), other_.get()}) {
      for (int i = 0; i < 500 && !ledger->BalanceOf("acme"); ++i) {
        std::this_thread::sleep_for(milliseconds(10));
      }
    }
    Compare(told);
  }

  // Each that was settled has exactly its row, and the money is all there.
  void Compare(const Told& told) {
    int64_t charged = 0;
    std::map<std::string, UsageRow> rows;
    const auto all = ledger_->Rows("acme", 0, INT64_MAX, INT64_MAX).value();
    for (const UsageRow& row : all) {
      charged += row.charge.nanos;
      rows[row.request] = row;
    }
    EXPECT_EQ(Left().held.nanos, 0);
    EXPECT_EQ(Left().balance.nanos, kLargeDeposit - charged);
    for (const auto& [request, charge] : told.charges) {
      ASSERT_TRUE(rows.contains(request)) << request;
      EXPECT_EQ(rows[request].outcome, "stop") << request;
      EXPECT_EQ(rows[request].charge.nanos, charge) << request;
      rows.erase(request);
    }
    for (const auto& [request, row] : rows) {
      EXPECT_EQ(row.outcome, "crashed")
          << request;  // its caller was told that nothing was admitted
      EXPECT_EQ(row.charge.nanos, 0) << request;
    }
    EXPECT_GT(told.charges.size(), 50);
  }

  PrivatePostgres* const postgres_;
  std::unique_ptr<Ledger> other_;
};

TEST_F(LedgerOutage, ACrashOfTheDatabaseLosesNothing) {
  Told told;
  GoThrough(
      [&] {
        postgres_->Kill();
        std::this_thread::sleep_for(seconds(4));  // longer than the lease
        postgres_->Start();
        std::this_thread::sleep_for(seconds(2));
      },
      told);
  EXPECT_GT(told.refused, 0);
  EXPECT_LT(told.longest, milliseconds(2'500));
}

TEST_F(LedgerOutage, ADatabaseThatDoesNotAnswerIsAway) {
  Told told;
  GoThrough(
      [&] {
        postgres_->Signal(SIGSTOP);
        std::this_thread::sleep_for(seconds(7));
        postgres_->Signal(SIGCONT);
        std::this_thread::sleep_for(seconds(3));
      },
      told);
  EXPECT_GT(told.refused, 0);
}

TEST_F(LedgerOutage, ConnectionsThatAreCutAtAnyMomentLoseNothing) {
  Told told;
  GoThrough(
      [&] {
        std::minstd_rand random(5);
        for (int i = 0; i < 100; ++i) {
          std::this_thread::sleep_for(milliseconds(random() % 60));
          ExecuteOutside(options_,
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                         "datname = current_database() AND pid <> pg_backend_pid()");
        }
      },
      told);
}

TEST_F(LedgerOutage, WhatEndedMeanwhileIsSettledByTheNextProcess) {
  Deposit(kLargeDeposit);
  const std::string key = AddKey();
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 10}));
  ASSERT_TRUE(ledger_->Admit({"r2", key, "m", 10}));
  postgres_->Kill();
  EXPECT_EQ(ledger_->Admit({"r3", key, "m", 10}).error().kind, Kind::kUnavailable);
  EXPECT_EQ(ledger_->Extend("r1").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(ledger_->Settle("r1", Text(11, 5), "stop").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ledger_->Settle("r1", Text(10, 5), "stop").value().nanos, 10 + 5 * 8);
  EXPECT_EQ(ledger_->Settle("r1", Text(10, 5), "stop").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Ledger::Open(options_).error().code, ErrorCode::kUnavailable) << "its journal is taken";
  ledger_.reset();
  EXPECT_EQ(Ledger::Open(options_).error().code, ErrorCode::kUnavailable);
  postgres_->Start();
  Open();
  const auto rows = ledger_->Rows("acme", 0, INT64_MAX, 10).value();
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0].request, "r1");
  EXPECT_EQ(rows[0].charge.nanos, 50);
  EXPECT_EQ(rows[1].outcome, "crashed") << "its server was started again";
  EXPECT_EQ(Left().held.nanos, 0);
  EXPECT_EQ(ReadFile(options_.journal).value().find("request"), std::string::npos);
}

TEST_F(LedgerOutage, ADatabaseThatIsTooBusyIsAwayUntilItIsNot) {
  Deposit(kLargeDeposit);
  const std::string key = AddKey();
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 10}));
  {
    pqxx::connection connection(options_.database);
    pqxx::work other(connection);
    other.exec("SELECT 1 FROM fulmen.organisations FOR UPDATE");
    const auto begin = SteadyClock::now();
    EXPECT_EQ(ledger_->Admit({"r2", key, "m", 10}).error().kind, Kind::kUnavailable);
    EXPECT_LT(SteadyClock::now() - begin, milliseconds(3'000));
    EXPECT_EQ(ledger_->Settle("r1", Text(10, 5), "stop").value().nanos, 10 + 5 * 8);
  }
  std::this_thread::sleep_for(milliseconds(1'500));
  const auto rows = ledger_->Rows("acme", 0, INT64_MAX, 10).value();
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].outcome, "stop");
  EXPECT_EQ(Left().held.nanos, 0);
  EXPECT_EQ(ReadFile(options_.journal).value().find("request"), std::string::npos);
}

TEST_F(LedgerOutage, OwnersComeBackFirst) {
  Deposit(kLargeDeposit);
  const std::string key = AddKey();
  OpenOther();
  std::this_thread::sleep_for(milliseconds(2'500));  // so that it may end those of dead servers
  ASSERT_TRUE(ledger_->Admit({"r1", key, "m", 10}));
  postgres_->Kill();
  std::this_thread::sleep_for(milliseconds(2'500));  // longer than the lease
  postgres_->Start();
  std::this_thread::sleep_for(seconds(3));
  EXPECT_EQ(ledger_->Extend("r1").value(), 512);
  EXPECT_TRUE(ledger_->Settle("r1", Text(10, 5), "stop"));
}

}  // namespace
}  // namespace fulmen
