#include "serve/response_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "serve/stored_responses.h"
#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using testing::MustParse;

Json OutputMessage(const std::string& id, const std::string& text) {
  return {{"type", "message"}, {"id", id}, {"role", "user"}, {"content", text}};
}

StoredResponse Response(const std::string& id, const std::string& previous = "",
                        const std::string& text = "t") {
  return {.id = id,
          // Of a list in braces with one element some compilers make that element.
          .response = {{"id", id}, {"output", Json::array({OutputMessage("msg_" + id, text)})}},
          .input = Json::array({OutputMessage("in_" + id, "q")}),
          .previous = previous,
          .created = 100};
}

class Responses : public ::testing::Test {
 protected:
  std::unique_ptr<ResponseStore> MustOpen(const ResponseLimits& limits = {}) const {
    auto store = ResponseStore::Open(path_, limits);
    EXPECT_TRUE(store) << store.error().message;
    return store ? *std::move(store) : nullptr;
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "responses.db";
};

// The ids of items, in order.
std::string IdsOf(const Result<std::optional<Json>>& items) {
  if (!items) return items.error().message;
  if (!*items) return "nothing";
  std::string ids;
  for (const Json& item : **items) ids += item.at("id").get<std::string>() + " ";
  return ids;
}

TEST_F(Responses, ComeBackAsTheyWere) {
  ASSERT_TRUE(MustOpen()->Put("s", Response("a", "", "x \xF0\x9F\x98\x80")));
  const auto store = MustOpen();
  const auto stored = store->Get("s", "a");
  ASSERT_TRUE(stored && *stored);
  EXPECT_EQ((*stored)->response, Response("a", "", "x \xF0\x9F\x98\x80").response);
  EXPECT_EQ((*stored)->input, Response("a").input);
  EXPECT_EQ((*stored)->created, 100);
  EXPECT_EQ(*store->Get("s", "b"), std::nullopt);
  const auto twice = store->Put("s", Response("a"));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kConflict);
  EXPECT_EQ(store->Item("s", "msg_a").value()->at("content"), "x \xF0\x9F\x98\x80");
  EXPECT_EQ(store->Item("s", "in_a").value(), std::nullopt);
}

TEST_F(Responses, SpacesAreApart) {
  const auto store = MustOpen();
  ASSERT_TRUE(store->Put("s", Response("a")));
  ASSERT_TRUE(store->Put("t", Response("a", "", "other")));
  EXPECT_EQ(*store->Get("", "a"), std::nullopt);
  EXPECT_EQ(*store->Item("", "msg_a"), std::nullopt);
  EXPECT_EQ(IdsOf(store->Conversation("", "a")), "nothing");
  EXPECT_FALSE(*store->Delete("", "a"));
  EXPECT_TRUE(*store->Delete("t", "a"));
  EXPECT_TRUE(*store->Get("s", "a"));
  ASSERT_TRUE(store->Put("t", Response("b", "a")));
  EXPECT_EQ(IdsOf(store->Conversation("t", "b")),
            "the response b goes on from a, which is not stored any more");
}

TEST_F(Responses, GoOnFromEachOther) {
  const auto store = MustOpen();
  ASSERT_TRUE(store->Put("s", Response("a")));
  ASSERT_TRUE(store->Put("s", Response("b", "a")));
  ASSERT_TRUE(store->Put("s", Response("c", "b")));
  ASSERT_TRUE(store->Put("s", Response("d", "b")));
  EXPECT_EQ(IdsOf(store->Conversation("s", "a")), "in_a msg_a ");
  EXPECT_EQ(IdsOf(store->Conversation("s", "d")), "in_a msg_a in_b msg_b in_d msg_d ");
  // Deleted ones are gone, but not for those that were built on them.
  EXPECT_TRUE(*store->Delete("s", "b"));
  EXPECT_FALSE(*store->Delete("s", "b"));
  EXPECT_EQ(*store->Get("s", "b"), std::nullopt);
  EXPECT_EQ(*store->Item("s", "msg_b"), std::nullopt);
  EXPECT_EQ(IdsOf(store->Conversation("s", "b")), "nothing");
  EXPECT_EQ(IdsOf(store->Conversation("s", "d")), "in_a msg_a in_b msg_b in_d msg_d ");
  EXPECT_TRUE(*store->Delete("s", "d"));
  EXPECT_EQ(IdsOf(store->Conversation("s", "c")), "in_a msg_a in_b msg_b in_c msg_c ");
}

TEST_F(Responses, WhatNobodyNeedsLeavesTheDisk) {
  const ResponseLimits two = {.responses = 2};
  {
    const auto store = MustOpen(two);
    ASSERT_TRUE(store->Put("s", Response("a")));
    ASSERT_TRUE(store->Put("s", Response("b", "a")));
    EXPECT_TRUE(*store->Delete("s", "a"));
    EXPECT_TRUE(*store->Delete("s", "b"));
  }
  // Had they stayed, these would make one another leave.
  const auto store = MustOpen(two);
  ASSERT_TRUE(store->Put("s", Response("c")));
  ASSERT_TRUE(store->Put("s", Response("d", "c")));
  EXPECT_EQ(IdsOf(store->Conversation("s", "d")), "in_c msg_c in_d msg_d ");
}

TEST_F(Responses, TheOldestMakeRoom) {
  const auto store = MustOpen({.responses = 3});
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(store->Put("s", Response(id)));
  EXPECT_EQ(*store->Get("s", "a"), std::nullopt);
  EXPECT_EQ(*store->Item("s", "msg_a"), std::nullopt);
  EXPECT_TRUE(*store->Get("s", "b"));
}

TEST_F(Responses, BytesAreLimitedToo) {
  const auto store = MustOpen({.bytes = 10'000});
  ASSERT_TRUE(store->Put("s", Response("a", "", std::string(4000, 'x'))));
  ASSERT_TRUE(store->Put("s", Response("b", "a", std::string(4000, 'x'))));
  const auto large = store->Put("s", Response("c", "", std::string(10'000, 'x')));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kNoRoom);
  EXPECT_TRUE(*store->Get("s", "a"));
  ASSERT_TRUE(store->Put("s", Response("d", "b", std::string(4000, 'x'))));
  EXPECT_EQ(*store->Get("s", "a"), std::nullopt);
  const auto conversation = store->Conversation("s", "d");
  ASSERT_FALSE(conversation);
  EXPECT_EQ(conversation.error().code, ErrorCode::kNotFound);
}

TEST_F(Responses, FlippedBytesAreNoticed) {
  {
    const auto store = MustOpen();
    std::string previous;
    for (int i = 0; i < 30; ++i) {
      const std::string id = "r" + std::to_string(i);
      ASSERT_TRUE(store->Put("s", Response(id, previous, std::string(700, 'y'))));
      previous = id;
    }
  }
  const std::string whole = testing::ReadFileOrDie(path_);
  RandomStream random(2);
  for (int round = 0; round < 400; ++round) {
    const size_t offset = random.Next() % whole.size();
    SCOPED_TRACE(offset);
    std::string spoilt = whole;
    spoilt[offset] = static_cast<char>(spoilt[offset] ^ (1 + random.Next() % 255));
    fs::remove(path_ + "-wal");
    std::ofstream(path_, std::ios::binary) << spoilt;
    const auto store = ResponseStore::Open(path_);
    if (!store) continue;
    for (int i = 0; i < 30; ++i) {
      const std::string id = "r" + std::to_string(i);
      const auto stored = (*store)->Get("s", id);
      if (!stored) continue;
      ASSERT_TRUE(*stored) << id << " was lost without a word";
      EXPECT_EQ((*stored)->response, Response(id, "", std::string(700, 'y')).response);
    }
  }
}

TEST_F(Responses, OneProcessAtATime) {
  const auto store = MustOpen();
  const auto second = ResponseStore::Open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(second.error().message,
            path_ + ": another process has not let go of the response store for 10 seconds");
  EXPECT_TRUE(store->Put("s", Response("a")));
}

TEST_F(Responses, OtherFilesStayAsTheyAre) {
  std::ofstream(path_) << std::string(1000, 'x');
  const auto store = ResponseStore::Open(path_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().message,
            path_ + ": a response store is expected, found another kind of file");
  EXPECT_EQ(testing::ReadFileOrDie(path_), std::string(1000, 'x'));
}

// A process that stores responses, each going on from the one before, and writes a byte for each
// once it is stored.
pid_t StartWriter(const std::string& path, int stored, int acknowledge) {
  const pid_t child = fork();
  if (child != 0) return child;
  const auto store = ResponseStore::Open(path);
  if (!store) _exit(1);
  for (int i = stored;; ++i) {
    const std::string previous = i == 0 ? "" : std::to_string(i - 1);
    if (!(*store)->Put("s", Response(std::to_string(i), previous, std::string(3000, 'x')))) {
      _exit(2);
    }
    if (write(acknowledge, ".", 1) != 1) _exit(3);
  }
}

TEST_F(Responses, KilledProcessesLoseNothingTheyAcknowledged) {
  RandomStream random(9);
  int stored = 0;
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t writer = StartWriter(path_, stored, ends[1]);
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(10'000 + random.Next() % 60'000));
    kill(writer, SIGKILL);
    int told = 0;
    for (char byte = 0; read(ends[0], &byte, 1) == 1;) ++told;
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(writer, &status, 0), writer);
    EXPECT_TRUE(WIFSIGNALED(status)) << "ended by itself with " << WEXITSTATUS(status);
    const auto store = MustOpen();
    int now = stored + told;
    if (*store->Get("s", std::to_string(now))) ++now;  // stored, and not told any more
    EXPECT_FALSE(*store->Get("s", std::to_string(now)));
    if (now == 0) continue;
    const auto conversation = store->Conversation("s", std::to_string(now - 1));
    ASSERT_TRUE(conversation && *conversation);
    EXPECT_EQ((*conversation)->size(), static_cast<size_t>(2 * now));
    stored = now;
  }
  EXPECT_GT(stored, 20);
}

TEST_F(Responses, RoutesAnswerFromTheStore) {
  const auto store = MustOpen();
  const auto call = ParseOpenAiResponses(MustParse(
      R"({"model":"m","input":[{"role":"user","content":"1"},{"role":"user","content":"2"},)"
      R"({"id":"msg_3","role":"user","content":"3"}]})"));
  ASSERT_TRUE(call);
  testing::Stream(**call, testing::AnswerOf({testing::Say("hi")}, FinishReason::kStop));
  ASSERT_TRUE(StoreResponse(*store, "s", **call));
  const std::string id = (*call)->id();
  EXPECT_EQ(GetResponse(*store, "s", id).value(), (*call)->Answer());
  EXPECT_EQ(GetResponse(*store, "t", id).error().kind, ApiErrorKind::kNotFound);
  EXPECT_EQ(CancelResponse(*store, "s", id).error().kind, ApiErrorKind::kInvalid);
  EXPECT_EQ(CancelResponse(*store, "t", id).error().kind, ApiErrorKind::kNotFound);

  const auto contents = [&](const InputItemsQuery& query) {
    const auto page = ListInputItems(*store, "s", id, query);
    if (!page) return page.error().param + ": " + page.error().message;
    std::string all = page->at("has_more").get<bool>() ? "more " : "";
    for (const Json& item : page->at("data")) all += item.at("content").get<std::string>();
    return all;
  };
  EXPECT_EQ(contents({}), "321");
  EXPECT_EQ(contents({.limit = "2", .order = "asc", .after = ""}), "more 12");
  EXPECT_EQ(contents({.limit = "", .order = "desc", .after = "msg_3"}), "21");
  EXPECT_EQ(contents({.limit = "", .order = "asc", .after = "msg_3"}), "");
  EXPECT_EQ(contents({.limit = "0", .order = "", .after = ""}),
            "limit: expected a whole number from 1 to 100, found \"0\"");
  EXPECT_EQ(contents({.limit = "", .order = "up", .after = ""}),
            "order: expected asc or desc, found \"up\"");

  const std::string item = (*call)->Answer().at("output")[0].at("id");
  const auto referred = FindReferred(*store, "s", {.previous = id, .items = {item, "other"}});
  ASSERT_TRUE(referred);
  EXPECT_EQ(referred->before.size(), 4U);
  EXPECT_EQ(referred->by_id.size(), 1U);
  const auto next = ParseOpenAiResponses(
      {{"previous_response_id", id}, {"input", "again"}, {"stream", true}}, *referred);
  ASSERT_TRUE(next);
  const auto& prompt = std::get<ChatPrompt>((*next)->generations()[0].prompt);
  ASSERT_EQ(prompt.messages.size(), 5U);
  EXPECT_EQ(prompt.messages[3].at("handle"), testing::kHandle);
  EXPECT_EQ((*next)->previous(), id);
  EXPECT_EQ(FindReferred(*store, "t", {.previous = id, .items = {}}).error().kind,
            ApiErrorKind::kNotFound);

  EXPECT_EQ(DeleteResponse(*store, "s", id).value(),
            Json({{"id", id}, {"object", "response"}, {"deleted", true}}));
  EXPECT_EQ(DeleteResponse(*store, "s", id).error().kind, ApiErrorKind::kNotFound);
}

}  // namespace
}  // namespace fulmen
