#include "serve/session_claims.h"

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

#include <memory>

#include "serve/recorded_answer.h"

namespace fulmen {
namespace {

Generation Turn(const std::string& session) {
  Generation generation;
  generation.session = session;
  generation.prompt = ChatPrompt{.messages = {{{"role", "system"}, {"content", "Be brief."}},
                                              {{"role", "user"}, {"content", "Hi"}}}};
  return generation;
}

TEST(SessionClaims, TellWhatIsUnderWay) {
  boost::asio::io_context io;
  SessionClaims claims;
  const Caller caller = {.space = "org", .key = "one"};
  HttpRequest request;
  request.caller = caller;
  const AnswerName name = {.key = "one", .name = "k", .request_hash = ""};
  RecordingExchange exchange(request, std::make_shared<RecordedAnswer>(io.get_executor(), name));
  std::vector<Generation> turns;
  turns.push_back(Turn("a"));
  turns.push_back(Turn(""));
  {
    const auto claim = claims.Make(exchange, turns);
    ASSERT_TRUE(claim);
    EXPECT_EQ(claims.Make(exchange, turns).error().kind, ApiErrorKind::kConflict);
    const auto under_way = claims.Of(caller);
    ASSERT_EQ(under_way.size(), 1U);
    EXPECT_EQ(under_way.at("a").idempotency_key, "k");
    EXPECT_EQ(*under_way.at("a").messages, Json({{{"role", "user"}, {"content", "Hi"}}}));
    // Who may not read along is not told how.
    EXPECT_EQ(claims.Of({.space = "org", .key = "other"}).at("a").idempotency_key, "");
    EXPECT_TRUE(claims.Of({.space = "or"}).empty());
    EXPECT_TRUE(claims.Of({.space = "org2", .key = "one"}).empty());
  }
  EXPECT_TRUE(claims.Of(caller).empty());
  EXPECT_TRUE(claims.Make(exchange, turns));
}

}  // namespace
}  // namespace fulmen
