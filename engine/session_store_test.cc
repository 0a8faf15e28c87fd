#include "engine/session_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using Key = std::pair<std::string, std::string>;  // namespace and name

SavedTurn Turn(const std::string& text, int64_t kept, std::vector<int32_t> ids, int64_t answer) {
  return {.messages = {{{"role", "user"}, {"content", text}}},
          .kept = kept,
          .ids = std::move(ids),
          .answer = answer,
          .address = {}};
}

SavedSession BriefSession(const std::string& name, const std::string& space = "") {
  return {.space = space,
          .name = name,
          .model = "model",
          .format = ChatFormat::kText01,
          .system = "Be brief.",
          .created = 100,
          .used = 100,
          .expires = {},
          .turns = {}};
}

std::unique_ptr<SessionStore> MustOpen(const std::string& path, const AnswerLimits& limits = {}) {
  auto store = SessionStore::Open(path, limits);
  EXPECT_TRUE(store) << store.error().message;
  return store ? *std::move(store) : nullptr;
}

class SessionStoreTest : public ::testing::Test {
 protected:
  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "sessions.db";
};

TEST_F(SessionStoreTest, KeepsASession) {
  SavedSession session = BriefSession("work");
  session.turns = {Turn("", 0, {1, 2, 3}, 2)};
  session.turns[0].messages[0]["content"] = std::string("a\0b", 3);
  ASSERT_TRUE(MustOpen(path_)->Create(session));
  const auto address =
      MustOpen(path_)->AppendTurn("", "work", 1, Turn("again", 2, {7, 2147483647}, 3), 130);
  ASSERT_TRUE(address) << address.error().message;
  const auto found = MustOpen(path_)->Find("", "work");
  ASSERT_TRUE(found && *found);
  session.used = 130;
  session.turns.push_back(Turn("again", 2, {7, 2147483647}, 3));
  session.turns[0].address = AnswerAddress("", "model", std::vector<int32_t>{3});
  session.turns[1].address = AnswerAddress("", "model", std::vector<int32_t>{2147483647});
  EXPECT_EQ(**found, session);
  EXPECT_EQ(*address, session.turns[1].address);
  EXPECT_EQ((*found)->Ids(), (std::vector<int32_t>{1, 2, 7, 2147483647}));
}

TEST_F(SessionStoreTest, IsItsOwnersAlone) {
  const std::string path = folder_ / "a/b/sessions.db";
  const auto store = MustOpen(path);
  ASSERT_TRUE(store->Create(BriefSession("x")));
  for (const char* name : {"a/b/sessions.db", "a/b/sessions.db-wal", "a/b/sessions.db-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat((folder_ / name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600U) << name;
  }
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(SessionStoreTest, RefusesWhatCannotBe) {
  const auto store = MustOpen(path_);
  ASSERT_TRUE(store->Create(BriefSession("x")));
  const auto code = [](const auto& result) {
    return result ? std::optional<ErrorCode>() : result.error().code;
  };
  EXPECT_EQ(code(store->Create(BriefSession("x"))), ErrorCode::kConflict);
  EXPECT_EQ(code(store->Create(BriefSession("a/b"))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(store->Fork("", "x", "", 1)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(store->Fork("", "x", "x", 1)), ErrorCode::kConflict);
  EXPECT_EQ(code(store->Fork("", "y", "z", 1)), ErrorCode::kNotFound);
  EXPECT_EQ(code(store->Rename("", "x", "x")), ErrorCode::kConflict);
  EXPECT_EQ(code(store->Rename("other", "x", "y")), ErrorCode::kNotFound);
  EXPECT_EQ(code(store->Remove("", "y")), ErrorCode::kNotFound);
  EXPECT_EQ(code(store->SetExpiry("", "y", 1)), ErrorCode::kNotFound);
  EXPECT_EQ(code(store->AppendTurn("", "y", 0, Turn("a", 0, {}, 0), 1)), ErrorCode::kNotFound);
  EXPECT_EQ(code(store->AppendTurn("", "x", 1, Turn("a", 0, {}, 0), 1)), ErrorCode::kConflict);
  EXPECT_EQ(code(store->AppendTurn("", "x", 0, Turn("a", 1, {}, 1), 1)),
            ErrorCode::kInvalidArgument);
  const auto missing = store->Remove("", "y\n");
  EXPECT_EQ(missing.error().message, "there is no session \"y\\n\" in " + path_);
  const auto found = store->Find("", "x");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, BriefSession("x"));
}

// A toy store: what the real one has to hold.
struct ToySessionStore {
  std::map<Key, SavedSession> sessions;

  SavedSession* Find(const Key& key) {
    const auto found = sessions.find(key);
    return found == sessions.end() ? nullptr : &found->second;
  }
  std::vector<Key> Order() const {
    std::vector<const SavedSession*> all;
    for (const auto& [key, session] : sessions) all.push_back(&session);
    std::ranges::sort(all, {}, [](const SavedSession* each) {
      return std::tuple(-each->used, each->name, each->space);
    });
    std::vector<Key> keys;
    for (const SavedSession* each : all) keys.emplace_back(each->space, each->name);
    return keys;
  }
};

class RandomSessionOperations {
 public:
  RandomSessionOperations(std::string path, uint64_t seed) : path_(std::move(path)), random_(seed) {
    for (auto& store : stores_) store = MustOpen(path_);
  }

  void Step() {
    ++now_;
    const size_t which = Draw(stores_.size());
    if (Draw(10) == 0) {
      stores_[which].reset();
      stores_[which] = MustOpen(path_);
    }
    SessionStore& store = *stores_[which];
    const Key from = AnyKey();
    const Key to = {from.first, AnyKey().second};
    SavedSession* const session = model_.Find(from);
    const bool taken = model_.Find(to) != nullptr;
    switch (Draw(8)) {
      case 0:
        Create(store, from);
        break;
      case 1:
      case 2:
      case 3:
        Append(store, from);
        break;
      case 4: {
        const bool works = session != nullptr && !taken;
        EXPECT_EQ(store.Fork(from.first, from.second, to.second, now_).has_value(), works);
        if (!works) break;
        SavedSession fork = *session;
        fork.name = to.second;
        fork.created = fork.used = now_;
        fork.expires.reset();
        model_.sessions[to] = fork;
        break;
      }
      case 5: {
        const bool works = session != nullptr && !taken;
        EXPECT_EQ(store.Rename(from.first, from.second, to.second).has_value(), works);
        if (!works) break;
        SavedSession renamed = *session;
        renamed.name = to.second;
        model_.sessions.erase(from);
        model_.sessions[to] = renamed;
        break;
      }
      case 6:
        EXPECT_EQ(store.Remove(from.first, from.second).has_value(), session != nullptr);
        model_.sessions.erase(from);
        break;
      default:
        Expire(store, from);
    }
  }

  void Compare() {
    for (const auto& store : stores_) {
      const auto list = store->List({});
      ASSERT_TRUE(list) << list.error().message;
      std::vector<Key> listed;
      for (const SessionSummary& each : *list) {
        EXPECT_FALSE(each.damaged);
        listed.emplace_back(each.space, each.name);
      }
      ASSERT_EQ(listed, model_.Order());
      for (const auto& [key, session] : model_.sessions) {
        const auto found = store->Find(key.first, key.second);
        ASSERT_TRUE(found && *found);
        ASSERT_EQ(**found, session);
        for (const SavedTurn& turn : session.turns) {
          const auto ids = store->Recall(key.first, session.model, turn.address);
          ASSERT_TRUE(ids && *ids);
          ASSERT_TRUE(std::ranges::equal(**ids, turn.answer_ids()));
        }
      }
    }
  }

 private:
  size_t Draw(size_t below) { return random_.Next() % below; }
  Key AnyKey() {
    return {Draw(3) == 0 ? "org" : "", std::string(1, static_cast<char>('a' + Draw(6)))};
  }

  SavedTurn AnyTurn(const std::vector<int32_t>& before) {
    const auto kept = static_cast<int64_t>(Draw(before.size() + 1));
    std::vector<int32_t> ids(Draw(300));
    for (int32_t& id : ids) id = static_cast<int32_t>(Draw(size_t{1} << 31));
    const auto answer = kept + static_cast<int64_t>(Draw(ids.size() + 1));
    return Turn(std::string(Draw(2000), 'x'), kept, std::move(ids), answer);
  }

  void Create(SessionStore& store, const Key& key) {
    SavedSession session = BriefSession(key.second, key.first);
    session.created = session.used = now_;
    for (size_t turns = Draw(3); turns > 0; --turns) {
      session.turns.push_back(AnyTurn(session.Ids()));
    }
    const bool works = model_.Find(key) == nullptr;
    EXPECT_EQ(store.Create(session).has_value(), works);
    if (!works) return;
    for (SavedTurn& turn : session.turns) {
      turn.address = AnswerAddress(session.space, session.model, turn.answer_ids());
    }
    model_.sessions[key] = session;
  }

  void Append(SessionStore& store, const Key& key) {
    SavedSession* const session = model_.Find(key);
    const int64_t turns = session == nullptr ? 0 : std::ssize(session->turns);
    const bool late = Draw(5) == 0;
    SavedTurn turn = AnyTurn(session == nullptr ? std::vector<int32_t>() : session->Ids());
    const auto address =
        store.AppendTurn(key.first, key.second, late ? turns + 1 : turns, turn, now_);
    ASSERT_EQ(address.has_value(), session != nullptr && !late);
    if (!address) return;
    turn.address = *address;
    session->turns.push_back(turn);
    session->used = now_;
  }

  void Expire(SessionStore& store, const Key& key) {
    if (SavedSession* const session = model_.Find(key)) {
      session->expires = Draw(4) == 0 ? std::nullopt : std::optional<int64_t>(now_ + Draw(50));
      ASSERT_TRUE(store.SetExpiry(key.first, key.second, session->expires));
      return;
    }
    const auto removed = store.RemoveExpired(now_);
    const auto expected = std::erase_if(model_.sessions, [&](const auto& each) {
      return each.second.expires && *each.second.expires <= now_;
    });
    ASSERT_TRUE(removed);
    ASSERT_EQ(*removed, static_cast<int64_t>(expected));
  }

  const std::string path_;
  RandomStream random_;
  std::array<std::unique_ptr<SessionStore>, 2> stores_;
  ToySessionStore model_;
  int64_t now_ = 1000;
};

TEST_F(SessionStoreTest, RandomOperationsAsInAToyStore) {
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    RandomSessionOperations operations(folder_ / std::to_string(seed), seed);
    for (int step = 0; step < 300; ++step) {
      operations.Step();
      if (step % 10 == 9) operations.Compare();
      if (HasFatalFailure()) return;
    }
  }
}

// Of all that try to add the same turn one does, and none is lost.
TEST_F(SessionStoreTest, ThreadsAndHandlesTakeTurns) {
  constexpr int kThreads = 4;
  constexpr int kTurns = 10;  // that each adds
  const std::unique_ptr<SessionStore> shared = MustOpen(path_);
  ASSERT_TRUE(shared->Create(BriefSession("x")));
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      const std::unique_ptr<SessionStore> own = MustOpen(path_);
      SessionStore& store = thread % 2 == 0 ? *shared : *own;
      for (int added = 0; added < kTurns;) {
        const auto session = store.Find("", "x");
        ASSERT_TRUE(session && *session);
        const std::vector<int32_t> ids = (*session)->Ids();
        const auto appended =
            store.AppendTurn("", "x", std::ssize((*session)->turns),
                             Turn("a", std::ssize(ids), {thread}, std::ssize(ids)), 1);
        if (appended) {
          ++added;
        } else {
          ASSERT_EQ(appended.error().code, ErrorCode::kConflict);
        }
      }
    });
  }
  threads.clear();
  std::vector<int32_t> ids = (*shared->Find("", "x"))->Ids();
  ASSERT_EQ(std::ssize(ids), kThreads * kTurns);
  for (int thread = 0; thread < kThreads; ++thread) {
    EXPECT_EQ(std::ranges::count(ids, thread), kTurns);
  }
}

TEST_F(SessionStoreTest, ExpiresAtItsTime) {
  const auto store = MustOpen(path_);
  ASSERT_TRUE(store->Create(BriefSession("a")));
  ASSERT_TRUE(store->Create(BriefSession("b")));
  ASSERT_TRUE(store->SetExpiry("", "a", 500));
  EXPECT_EQ(*store->RemoveExpired(499), 0);
  EXPECT_EQ(*store->RemoveExpired(500), 1);
  EXPECT_FALSE(*store->Find("", "a"));
  EXPECT_TRUE(*store->Find("", "b"));
}

TEST_F(SessionStoreTest, RemembersAnswers) {
  const std::vector<int32_t> ids = {5, 6, 7};
  const auto address = MustOpen(path_)->Remember("org", "m", ids);
  ASSERT_TRUE(address) << address.error().message;
  EXPECT_EQ(*address, AnswerAddress("org", "m", ids));
  const auto store = MustOpen(path_);
  EXPECT_EQ(**store->Recall("org", "m", *address), ids);
  EXPECT_FALSE(*store->Recall("", "m", *address));
  EXPECT_FALSE(*store->Recall("org", "n", *address));
  EXPECT_FALSE(*store->Recall("org", "m", "ft_"));
  // A handle is a name of its own, so several may stand for one answer.
  for (const char* handle : {"turn_1", "turn_2"}) {
    EXPECT_EQ(*store->Remember("org", "m", ids, handle), *address);
    EXPECT_EQ(**store->Recall("org", "m", handle), ids);
  }
  EXPECT_FALSE(*store->Recall("", "m", "turn_1"));
  EXPECT_FALSE(*store->Recall("org", "n", "turn_1"));
  // An answer of a session is known while the session is.
  SavedSession session = BriefSession("x", "org");
  session.turns = {Turn("a", 0, {1, 2, 3}, 1)};
  ASSERT_TRUE(store->Create(session));
  const std::string of_session = AnswerAddress("org", "model", std::vector<int32_t>{2, 3});
  EXPECT_EQ(**store->Recall("org", "model", of_session), (std::vector<int32_t>{2, 3}));
  EXPECT_FALSE(*store->Recall("", "model", of_session));
  ASSERT_TRUE(store->Remove("org", "x"));
  EXPECT_FALSE(*store->Recall("org", "model", of_session));
}

TEST_F(SessionStoreTest, ForgetsTheAnswersUsedFirst) {
  const auto remember = [](SessionStore& store, int32_t id, size_t length = 1) {
    return *store.Remember("", "m", std::vector<int32_t>(length, id));
  };
  const auto known = [](SessionStore& store, const std::string& address) {
    return store.Recall("", "m", address)->has_value();
  };
  const auto store = MustOpen(path_, {.answers = 3, .bytes = 100});
  const std::string a = remember(*store, 1);
  const std::string b = remember(*store, 2);
  const std::string c = remember(*store, 3);
  EXPECT_TRUE(known(*store, a));
  const std::string d = remember(*store, 4);
  EXPECT_TRUE(known(*store, a));  // it was recalled after b
  EXPECT_FALSE(known(*store, b));
  EXPECT_TRUE(known(*store, c));
  EXPECT_EQ(remember(*store, 1), a);
  const std::string e = remember(*store, 5, 24);  // 4 bytes are left for another
  EXPECT_TRUE(known(*store, a));
  EXPECT_FALSE(known(*store, c));
  EXPECT_FALSE(known(*store, d));
  EXPECT_TRUE(known(*store, e));
  const std::string longer = remember(*store, 6, 26);
  EXPECT_FALSE(known(*store, longer));
  EXPECT_TRUE(known(*store, e));
}

}  // namespace
}  // namespace fulmen
