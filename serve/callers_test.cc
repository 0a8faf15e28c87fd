#include "serve/callers.h"

#include <gtest/gtest.h>

#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

TEST(Callers, OfALedgerAreLetInByScope) {
  const testing::TemporaryFolder folder;
  const auto ledger = Ledger::Open({.database = folder / "ledger.db"}).value();
  ASSERT_TRUE(ledger->AddOrganisation("acme", "CNY"));
  const NewKey user = ledger->AddKey("acme", {.name = "user"}).value();
  const NewKey admin = ledger->AddKey("acme", {.name = "admin", .scope = KeyScope::kAdmin}).value();
  const auto callers = CallersOf(*ledger);
  const Authorize authorize = AuthorizeBy(*callers, /*over_tls=*/false);
  const auto with = [&](const std::string& header, const std::string& value, Access access) {
    HttpRequest request;
    request.headers = {{header, value}};
    return authorize(request, access);
  };
  const auto caller = with("authorization", "Bearer " + user.secret.Reveal(), Access::kKey);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->key, user.key.id);
  EXPECT_EQ(caller->organisation, "acme");
  EXPECT_FALSE(caller->is_admin);
  EXPECT_EQ(with("x-api-key", user.secret.Reveal(), Access::kAdmin).error().kind,
            ApiErrorKind::kForbidden);
  const auto administrator = with("x-api-key", admin.secret.Reveal(), Access::kAdmin);
  ASSERT_TRUE(administrator);
  EXPECT_TRUE(administrator->is_admin);
  EXPECT_EQ(administrator->space, caller->space) << "one organisation";
  for (const std::string value : {"", "sk-fulmen-wrong", "Bearer"}) {
    EXPECT_EQ(with("x-api-key", value, Access::kKey).error().kind, ApiErrorKind::kAuthentication);
  }
  // A missing, a wrong and a revoked key take the same work.
  ASSERT_TRUE(ledger->RevokeKey(user.key.id));
  for (const std::string& value : {std::string(), std::string("wrong"), user.secret.Reveal()}) {
    const int64_t before = ledger->lookups();
    EXPECT_FALSE(with("x-api-key", value, Access::kKey));
    EXPECT_EQ(ledger->lookups(), before + 1);
  }
}

// A login from the value of Set-Cookie.
std::string CookieOf(const std::string& login, bool over_tls) {
  const std::string whole = LoginCookie(login, over_tls);
  return whole.substr(0, whole.find(';'));
}

class Browsers : public ::testing::TestWithParam<bool> {
 protected:
  Browsers() {
    if (!GetParam()) {
      callers_ = CallersOf(std::vector<std::string>{"sk-one", "sk-two"});
      return;
    }
    ledger_ = Ledger::Open({.database = folder_ / "ledger.db"}).value();
    EXPECT_TRUE(ledger_->AddOrganisation("acme", "CNY"));
    key_ = ledger_->AddKey("acme", {.name = "user"})->secret.Reveal();
    callers_ = CallersOf(*ledger_);
  }

  bool LetsIn(const Headers& headers, bool over_tls = false, Access access = Access::kKey) const {
    HttpRequest request;
    request.headers = headers;
    request.headers.emplace_back("host", "chat.example:8080");
    return AuthorizeBy(*callers_, over_tls)(request, access).has_value();
  }

  const testing::TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Callers> callers_;
  std::string key_ = "sk-two";
};

TEST_P(Browsers, AreWhoTheirKeyIsUntilTheySignOut) {
  EXPECT_FALSE(callers_->Login("sk-wrong"));
  const std::string login = callers_->Login(key_).value();
  EXPECT_NE(callers_->Login(key_).value(), login);
  EXPECT_EQ(callers_->OfLogin(login)->space, callers_->OfKey(key_)->space);
  EXPECT_FALSE(callers_->OfKey(login));
  EXPECT_FALSE(callers_->OfLogin(key_));
  EXPECT_TRUE(LetsIn({{"cookie", CookieOf(login, false)}}));
  EXPECT_TRUE(LetsIn({{"Cookie", "a=b; " + CookieOf(login, false) + "; c=d"}}));
  EXPECT_FALSE(LetsIn({{"cookie", "xfulmen_login=" + login}}));
  EXPECT_FALSE(LetsIn({{"cookie", "fulmen_login="}}));
  EXPECT_FALSE(LetsIn({{"cookie", "fulmen_login"}}));
  EXPECT_EQ(LetsIn({{"cookie", CookieOf(login, false)}}, false, Access::kAdmin),
            !GetParam());  // keys of a file are all alike
  ASSERT_TRUE(callers_->Logout(login));
  EXPECT_FALSE(LetsIn({{"cookie", CookieOf(login, false)}}));
}

TEST_P(Browsers, CountOnOurOwnPageAlone) {
  const std::string cookie = CookieOf(callers_->Login(key_).value(), false);
  const auto lets_in = [&](Headers headers) {
    headers.emplace_back("cookie", cookie);
    return LetsIn(headers);
  };
  EXPECT_TRUE(lets_in({{"origin", "http://chat.example:8080"}}));
  EXPECT_TRUE(lets_in({{"origin", "https://chat.example:8080"}}));  // a proxy has the certificate
  EXPECT_TRUE(lets_in({{"sec-fetch-site", "same-origin"}}));
  EXPECT_TRUE(lets_in({{"sec-fetch-site", "none"}}));
  // Proxies that ask for a password of their own pass it on.
  EXPECT_TRUE(lets_in({{"authorization", "Basic eDp5"}, {"origin", "http://chat.example:8080"}}));

  EXPECT_FALSE(lets_in({{"origin", "http://evil.example"}}));
  EXPECT_FALSE(lets_in({{"origin", "http://chat.example:3000"}}));  // another port
  EXPECT_FALSE(lets_in({{"origin", "null"}}));
  EXPECT_FALSE(lets_in({{"sec-fetch-site", "same-site"}}));
  EXPECT_FALSE(lets_in({{"sec-fetch-site", "cross-site"}}));
  // A key that is shown is the one that counts, also where it is wrong.
  for (const char* key : {"Bearer x", "bearer sk-wrong"}) {
    EXPECT_FALSE(lets_in({{"authorization", key}, {"origin", "http://chat.example:8080"}}));
    EXPECT_FALSE(lets_in({{"authorization", key}, {"origin", "http://evil.example"}}));
  }
  EXPECT_FALSE(lets_in({{"authorization", "Basic eDp5"}, {"origin", "http://evil.example"}}));
  EXPECT_FALSE(lets_in({{"x-api-key", "sk-wrong"}}));
}

TEST_P(Browsers, TakeTheCookieOverTlsFromNobodyElse) {
  const std::string login = callers_->Login(key_).value();
  EXPECT_TRUE(LetsIn({{"cookie", CookieOf(login, true)}}, true));
  EXPECT_FALSE(LetsIn({{"cookie", CookieOf(login, false)}}, true));
  EXPECT_EQ(LoginCookie("x", true),
            "__Host-fulmen_login=x; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure");
  EXPECT_EQ(LoginCookie("", false), "fulmen_login=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
}

INSTANTIATE_TEST_SUITE_P(All, Browsers, ::testing::Bool(),
                         [](const auto& each) { return each.param ? "Ledger" : "Keys"; });

}  // namespace
}  // namespace fulmen
