// Files that earlier versions of the ledger made.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include "accounts/ledger.h"
#include "accounts/ledger_database.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::TemporaryFolder;

constexpr const char* kRowsOfVersion1 = R"(
INSERT INTO organisations VALUES ('acme', 'CNY', 1000000, 2058);
INSERT INTO keys VALUES ('key_1', 'acme', x'00112233', 'one', 'inference', 1, 0, 0, 60, 0, 2, 5, 0);
INSERT INTO prices VALUES ('m', 'CNY', 1, 0, 2, 8);
INSERT INTO deposits VALUES ('first', 'acme', 1000013, 1);
INSERT INTO reservations VALUES ('r2', 'key_1', 'acme', 'm', 3, 5, 256, 0, 2058, 1, 0, 2, 8);
INSERT INTO usage VALUES ('r1', 'key_1', 'acme', 'm', 1, 2, 'stop', 5, 5, 0, 0, 1, 0, 1, 0, 2, 8, 13);
)";

// As the first version made one.
void MakeVersion1(const std::string& path) {
  SQLite::Database database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(kLedgerDatabase.schema);
  database.exec(kRowsOfVersion1);
  database.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = 1",
                            kLedgerDatabase.application_id));
}

TEST(LedgerMigration, AFileOfVersion1KeepsItsRows) {
  const TemporaryFolder folder;
  const std::string path = folder / "ledger";
  MakeVersion1(path);
  for (int time = 0; time < 2; ++time) {
    const auto ledger = Ledger::Open({.database = path});
    ASSERT_TRUE(ledger) << ledger.error().message;
    EXPECT_EQ((*ledger)->BalanceOf("acme")->balance.nanos, 1'000'000);
    EXPECT_EQ((*ledger)->BalanceOf("acme")->held.nanos, 0) << "what was under way has crashed";
    EXPECT_EQ((*ledger)->Organisations()->at(0).zone, "UTC");
    const Key key = (*ledger)->Keys("acme")->at(0);
    EXPECT_EQ(key.settings.limits.concurrent, 2);
    EXPECT_EQ(key.settings.limits.spend_per_day.nanos, 0);
    const auto rows = (*ledger)->Rows("acme", 0, INT64_MAX, 10).value();
    ASSERT_EQ(rows.size(), 2 + time);
    EXPECT_EQ(rows[0].request, "r1");
    EXPECT_EQ(rows[0].charge.nanos, 13);
    EXPECT_EQ(rows[1].outcome, "crashed");
    EXPECT_TRUE((*ledger)->Admit({"r" + std::to_string(3 + time), "key_1", "m", 1}));
    EXPECT_TRUE((*ledger)->Settle("r" + std::to_string(3 + time), {}, "stop"));
  }
}

TEST(LedgerMigration, OneThatFailsLeavesTheFileAsItWas) {
  const TemporaryFolder folder;
  const std::string path = folder / "ledger";
  MakeVersion1(path);
  static constexpr const char* kBad[] = {"ALTER TABLE keys ADD COLUMN more INTEGER; SELECT none"};
  DatabaseKind kind = kLedgerDatabase;
  kind.migrations = kBad;
  EXPECT_FALSE(OpenDatabase(path, kind));
  EXPECT_TRUE(Ledger::Open({.database = path}));
}

TEST(LedgerMigration, ALaterVersionIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "ledger";
  MakeVersion1(path);
  {
    SQLite::Database database(path, SQLite::OPEN_READWRITE);
    database.exec(fmt::format("PRAGMA user_version = {}", kLedgerDatabase.version + 1));
  }
  const auto refused = Ledger::Open({.database = path});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace fulmen
