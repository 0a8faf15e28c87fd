// What a ledger is after its process was killed, at any moment.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "accounts/ledger.h"
#include "accounts/testing/ledger_fixture.h"
#include "base/write_all.h"

namespace fulmen {
namespace {

constexpr int kRounds = 20;

// Clients that write to `acknowledged` what the ledger told them: "<request> <charge>", a line
// each, after it did.
[[noreturn]] void Serve(const LedgerOptions& options, const std::string& key, int round,
                        int acknowledged) {
  const auto ledger = Ledger::Open(options).value();
  const auto client = [&](unsigned number) {
    std::minstd_rand random(static_cast<unsigned>(round) * 100 + number);
    for (int i = 0;; ++i) {
      const std::string id = fmt::format("r{}.{}.{}", round, number, i);
      const auto prompt = static_cast<int64_t>(random() % 1'000);
      if (!ledger->Admit({id, key, "m", prompt})) _exit(1);
      if (random() % 3 == 0 && !ledger->Extend(id)) _exit(1);
      const auto output = static_cast<int64_t>(random() % 256);
      const auto charge =
          ledger->Settle(id, {.prompt = prompt, .text = prompt, .output = output}, "stop");
      if (!charge) _exit(1);
      WriteAll(acknowledged, fmt::format("{} {}\n", id, charge->nanos));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) threads.emplace_back(client, number);
  for (std::thread& thread : threads) thread.join();
  _exit(0);
}

std::string ReadAll(int file) {
  std::string text;
  char buffer[4096];
  for (ssize_t size = 0; (size = read(file, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

class LedgerCrash : public LedgerFixture, public ::testing::WithParamInterface<std::string> {
 protected:
  LedgerCrash() : LedgerFixture(GetParam()) {
    options_.lease_seconds = 2;
    options_.clock = {};
  }

  // A process that is killed at some moment. Returns what its clients were told.
  std::map<std::string, int64_t> Round(const std::string& key, int round, unsigned milliseconds) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) Serve(options_, key, round, ends[1]);
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    std::istringstream lines(ReadAll(ends[0]));
    close(ends[0]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    std::map<std::string, int64_t> told;
    std::string id;
    for (int64_t charge = 0; lines >> id >> charge;) told[id] = charge;
    return told;
  }

  void Compare(const std::map<std::string, int64_t>& told) {
    Open();
    // Servers that share a database wait for the end of a lease.
    for (int i = 0; i < 1'000 && Left().held.nanos > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(Left().held.nanos, 0);
    int64_t charged = 0;
    std::map<std::string, UsageRow> rows;
    const auto all = ledger_->Rows("acme", 0, INT64_MAX, INT64_MAX).value();
    for (const UsageRow& row : all) {
      charged += row.charge.nanos;
      rows[row.request] = row;
      if (row.outcome == "crashed") {
        EXPECT_EQ(row.charge.nanos, 0) << row.request;
      }
    }
    EXPECT_EQ(Left().balance.nanos, kLargeDeposit - charged);
    for (const auto& [request, charge] : told) {
      ASSERT_TRUE(rows.contains(request)) << request;
      EXPECT_EQ(rows[request].charge.nanos, charge) << request;
      EXPECT_EQ(rows[request].outcome, "stop") << request;
    }
    ledger_.reset();  // no threads while processes are made
  }
};

TEST_P(LedgerCrash, WhatWasAcknowledgedIsThereOnceAndTheRestChargesNothing) {
  Deposit(kLargeDeposit);
  const std::string key = AddKey();
  ledger_.reset();
  const bool file = GetParam() == "SQLite";
  std::map<std::string, int64_t> told;
  std::minstd_rand random(17);
  for (int round = 0; round < kRounds; ++round) {
    told.merge(Round(key, round, (file ? 30 : 100) + random() % 120));
    if (file) Compare(told);
  }
  Compare(told);
  EXPECT_GT(told.size(), kRounds);
}

INSTANTIATE_TEST_SUITE_P(In, LedgerCrash, ::testing::Values("SQLite", "PostgreSQL"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace fulmen
