// For tests: a ledger in each database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "accounts/ledger.h"
#include "tests/testing/golden.h"
#include "tests/testing/private_postgres.h"

namespace fulmen {

using testing::kNoPostgres;
using testing::PrivatePostgres;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'795'780'800 * kSecond;  // 2026-11-27, at noon
constexpr int64_t kLargeDeposit = 1'000'000'000'000;
// One token of input is 1 of the smallest, one of output 8, one of an image 2; a cached one is
// free.
constexpr Prices kPrices = {.text = {1}, .cached = {0}, .image = {2}, .output = {8}};

inline TokenCounts Text(int64_t prompt, int64_t output) {
  return {.prompt = prompt, .text = prompt, .output = output};
}

// Runs a statement that is not the ledger's.
inline void ExecuteOutside(const LedgerOptions& options, const std::string& text) {
  if (options.database.starts_with('/')) {
    SQLite::Database(options.database, SQLite::OPEN_READWRITE).exec(text);
  } else {
    pqxx::connection connection(options.database);
    pqxx::nontransaction(connection).exec("SET search_path = fulmen; " + text);
  }
}

class LedgerFixture : public ::testing::Test {
 protected:
  // "SQLite" or "PostgreSQL".
  explicit LedgerFixture(const std::string& kind) {
    if (kind == "SQLite") {
      options_.database = folder_ / "ledger";
    } else if (PrivatePostgres* postgres = PrivatePostgres::Shared(); postgres != nullptr) {
      options_.database = postgres->NewDatabase();
      options_.journal = folder_ / "journal";
    }
    options_.clock = [this] { return now_.load(); };
  }

  void SetUp() override {
    if (options_.database.empty()) GTEST_SKIP() << kNoPostgres;
    Open();
    ASSERT_TRUE(ledger_->AddOrganisation("acme", "CNY"));
    ASSERT_TRUE(ledger_->SetPrices("m", "CNY", kPrices));
  }

  void Open() {
    ledger_.reset();
    Result<std::unique_ptr<Ledger>> opened = Ledger::Open(options_);
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

  const testing::TemporaryFolder folder_;
  LedgerOptions options_;
  std::atomic<int64_t> now_ = kStart;
  std::unique_ptr<Ledger> ledger_;
  int deposits_ = 0;
};

}  // namespace fulmen
