#include "call/call_error.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace fulmen {
namespace {

using Kind = CallError::Kind;

// An error in the shape that OpenAI's and Anthropic's API share.
Json Body(const Json& error) { return {{"type", "error"}, {"error", error}}; }

struct ErrorCase {
  int status;
  Json body;
  Kind kind;
  bool transient;
};

// MiniMax's are written after its documentation and what its users report, not recorded.
TEST(CallError, OfEveryApisShape) {
  const auto typed = [](std::string_view type, std::string_view message = "m") {
    return Body({{"type", type}, {"message", message}});
  };
  const auto coded = [](std::string_view code) {
    return Body({{"message", "m"}, {"type", "invalid_request_error"}, {"code", code}});
  };
  for (const auto& [status, body, kind, transient] : std::vector<ErrorCase>{
           {401, coded("invalid_api_key"), Kind::kKey, false},
           {401, typed("authentication_error"), Kind::kKey, false},
           {401, typed("authorized_error", "m (1004)"), Kind::kKey, false},
           {403, typed("permission_error"), Kind::kKey, false},
           {429, typed("rate_limit_exceeded"), Kind::kLimit, true},
           {429, typed("rate_limit_error"), Kind::kLimit, true},
           {429, coded("insufficient_quota"), Kind::kLimit, false},
           {429, typed("insufficient_balance_error", "m (1008)"), Kind::kLimit, false},
           {402, typed("billing_error"), Kind::kLimit, false},
           {500, typed("api_error", "m (1008)"), Kind::kLimit, false},
           {500, typed("api_error"), Kind::kFailed, true},
           {529, typed("overloaded_error"), Kind::kFailed, true},
           {400, typed("bad_request_error", "m (2013)"), Kind::kFailed, false},
           {400, Json::object({{"error", "m"}}), Kind::kFailed, false},
           {404, Json::object({{"message", "m"}}), Kind::kFailed, false},
       }) {
    SCOPED_TRACE(body.dump());
    const CallError error = ErrorOfStatus(status, body.dump());
    EXPECT_EQ(error.kind, kind);
    EXPECT_EQ(error.transient, transient);
    EXPECT_NE(error.error.message.find(": m"), std::string::npos) << error.error.message;
  }
}

TEST(CallError, OfAnyOtherBody) {
  for (const std::string_view body : {"", "<html>", "[]", "{\"error\": 3}"}) {
    EXPECT_EQ(ErrorOfStatus(502, body).error.message, "the server answered with status 502");
  }
}

}  // namespace
}  // namespace fulmen
