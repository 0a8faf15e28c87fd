#include "tests/testing/private_postgres.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <pqxx/pqxx>
#include <string_view>

namespace fulmen::testing {
namespace {

TEST(PrivatePostgres, IsThere) {
  PrivatePostgres* postgres = PrivatePostgres::Shared();
  if (postgres == nullptr) {
    const char* ci = std::getenv("CI");
    if (ci != nullptr && std::string_view(ci) == "true") FAIL() << kNoPostgres;
    GTEST_SKIP() << kNoPostgres;
  }
  pqxx::connection connection(postgres->NewDatabase());
  EXPECT_EQ(pqxx::nontransaction(connection).exec1("SHOW fsync")[0].as<std::string>(), "on");
}

}  // namespace
}  // namespace fulmen::testing
