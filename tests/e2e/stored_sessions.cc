#include "tests/e2e/stored_sessions.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/session_store.h"

namespace fulmen::testing {
namespace {

std::unique_ptr<SessionStore> MustOpen(const std::string& path) {
  auto store = SessionStore::Open(path);
  FULMEN_CHECK(store.has_value(), "{}", store.error().message);
  return *std::move(store);
}

SavedTurn Turn(const std::string& question, Json answer, std::vector<int32_t> ids, int64_t begin) {
  answer["role"] = "assistant";
  return {.messages = {{{"role", "user"}, {"content", question}}, std::move(answer)},
          .kept = 0,
          .ids = std::move(ids),
          .answer = begin,
          .address = {}};
}

SavedSession Named(const std::string& space, const std::string& name, int64_t used) {
  return {.space = space,
          .name = name,
          .model = "sha256-of-a-model",
          .format = ChatFormat::kM1,
          .system = {},
          .created = 1'764'000'000,
          .used = used,
          .expires = {},
          .turns = {}};
}

}  // namespace

void WriteSessions(const std::string& path) {
  const std::unique_ptr<SessionStore> store = MustOpen(path);
  SavedSession work = Named("", "work", 1'764'000'600);
  work.system = "Be brief.";
  work.turns = {
      Turn("What is Fulmen?", {{"content", "A program.\nIt answers.\x1b[2J"}}, {10, 11, 12, 13}, 2),
      Turn("Weather?",
           {{"content", nullptr},
            {"reasoning_content", "I should look."},
            {"tool_calls",
             {{{"type", "function"},
               {"function", {{"name", "weather"}, {"arguments", "{\"in\":\"Rome\"}"}}}}}}},
           {10, 11, 12, 20, 21}, 4)};
  SavedSession plan = Named("", "plan", 1'764'000'300);
  plan.expires = 253'402'300'799;
  plan.turns = {Turn("Plan.", {{"content", "Yes."}}, {30, 31}, 1)};
  for (const SavedSession& session : {work, plan, Named("org", "work", 1'764'000'000)}) {
    const Status created = store->Create(session);
    FULMEN_CHECK(created.has_value(), "{}", created.error().message);
  }
}

std::string DescribeSessions(const std::string& path) {
  const std::unique_ptr<SessionStore> store = MustOpen(path);
  const auto sessions = store->List({});
  FULMEN_CHECK(sessions.has_value(), "{}", sessions.error().message);
  std::vector<std::string> lines;
  for (const SessionSummary& each : *sessions) {
    lines.push_back(fmt::format("{}/{}: {} turns, {} tokens, {}\n", each.space, each.name,
                                each.turns, each.tokens,
                                each.expires ? "expires" : "does not expire"));
  }
  std::ranges::sort(lines);
  return fmt::format("{}", fmt::join(lines, ""));
}

}  // namespace fulmen::testing
