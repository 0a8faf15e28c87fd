// What a ledger is after its process was killed, at any moment.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "accounts/ledger.h"
#include "base/write_all.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

constexpr Money kDeposit = {1'000'000'000'000};
constexpr int kRounds = 20;

// Clients that write to `acknowledged` what the ledger told them: "<request> <charge>", a line
// each, after it did.
[[noreturn]] void Serve(const std::string& path, const std::string& key, int round,
                        int acknowledged) {
  const auto ledger = Ledger::Open({.database = path}).value();
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

// The charge and the outcome of each request in the file.
std::map<std::string, std::pair<int64_t, std::string>> Rows(const std::string& path) {
  std::map<std::string, std::pair<int64_t, std::string>> rows;
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  SQLite::Statement all(database, "SELECT request, charge, outcome FROM usage");
  while (all.executeStep()) {
    rows[all.getColumn(0).getString()] = {all.getColumn(1).getInt64(),
                                          all.getColumn(2).getString()};
  }
  return rows;
}

TEST(LedgerCrash, WhatWasAcknowledgedIsThereOnceAndTheRestChargesNothing) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "ledger";
  std::string key;
  {
    const auto ledger = Ledger::Open({.database = path}).value();
    ASSERT_TRUE(ledger->AddOrganisation("acme", "CNY"));
    ASSERT_TRUE(ledger->SetPrices(
        "m", "CNY", {.text = {1'000}, .cached = {100}, .image = {1'000}, .output = {8'000}}));
    ASSERT_TRUE(ledger->Deposit("acme", kDeposit, "first"));
    key = ledger->AddKey("acme", {.name = "one"}).value().key.id;
  }
  std::map<std::string, int64_t> told;
  std::minstd_rand random(17);
  for (int round = 0; round < kRounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) Serve(path, key, round, ends[1]);
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 120));
    kill(child, SIGKILL);
    std::istringstream lines(ReadAll(ends[0]));
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    std::string id;
    for (int64_t charge = 0; lines >> id >> charge;) told[id] = charge;

    int64_t left = 0;
    {
      const auto ledger = Ledger::Open({.database = path});
      ASSERT_TRUE(ledger) << ledger.error().message;
      const Balance balance = (*ledger)->BalanceOf("acme").value();
      EXPECT_EQ(balance.held.nanos, 0);
      left = balance.balance.nanos;
    }
    const auto rows = Rows(path);
    int64_t charged = 0;
    for (const auto& [request, row] : rows) {
      charged += row.first;
      if (row.second == "crashed") {
        EXPECT_EQ(row.first, 0) << request;
      }
    }
    EXPECT_EQ(left, kDeposit.nanos - charged);
    for (const auto& [request, charge] : told) {
      const auto row = rows.find(request);
      ASSERT_NE(row, rows.end()) << request;
      EXPECT_EQ(row->second, std::pair(charge, std::string("stop"))) << request;
    }
  }
  EXPECT_GT(told.size(), kRounds);
}

}  // namespace
}  // namespace fulmen
