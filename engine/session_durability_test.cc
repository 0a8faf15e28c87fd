// What a session store promises when something goes wrong: files that are damaged or not its own,
// a full disk, processes killed in the middle.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/file_io.h"
#include "base/random.h"
#include "engine/session_database.h"
#include "engine/session_store.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using Sessions = std::map<std::string, SavedSession>;

SavedTurn SizedTurn(int64_t kept, std::vector<int32_t> ids, size_t text) {
  return {.messages = {{{"role", "user"}, {"content", std::string(text, 'x')}}},
          .kept = kept,
          .ids = std::move(ids),
          .answer = kept,
          .address = {}};
}

SavedSession SizedSession(const std::string& name) {
  return {.space = "",
          .name = name,
          .model = "m",
          .format = {},
          .system = "Be brief.",
          .created = 100,
          .used = 100,
          .expires = {},
          .turns = {}};
}

// One sentence about the file.
void ExpectSentence(const Error& error, const std::string& path) {
  EXPECT_TRUE(error.message.starts_with(path + ": ") ||
              error.message.starts_with("cannot write " + path + ": "))
      << error.message;
  EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
}

void ExpectRefused(const std::string& path, ErrorCode code, const std::string& message) {
  const auto store = SessionStore::Open(path);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, code) << store.error().message;
  EXPECT_EQ(store.error().message, path + message);
}

class SessionDurability : public ::testing::Test {
 protected:
  std::unique_ptr<SessionStore> MustOpen() const {
    auto store = SessionStore::Open(path_);
    EXPECT_TRUE(store) << store.error().message;
    return store ? *std::move(store) : nullptr;
  }
  // Sessions of short and long turns, some of which were removed again.
  Sessions Fill(int count, size_t text) const;
  // Whether every session is there as it was, or one sentence says why not.
  void ExpectIntactOrTold(const Sessions& sessions) const;
  // The file as it was, without waiting for the disk.
  void Restore(const std::string& bytes) const {
    fs::remove(path_ + "-wal");
    fs::remove(path_ + "-shm");
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  void Write(size_t offset, const std::string& bytes) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "sessions.db";
};

Sessions SessionDurability::Fill(int count, size_t text) const {
  const auto store = MustOpen();
  RandomStream random(4);
  Sessions sessions;
  for (int number = 0; number < count; ++number) {
    SavedSession session = SizedSession("session " + std::to_string(number));
    for (int turns = number % 7; turns > 0; --turns) {
      std::vector<int32_t> ids(random.Next() % 2000);
      for (int32_t& id : ids) id = static_cast<int32_t>(random.Next() % 200'000);
      session.turns.push_back(SizedTurn(0, std::move(ids), random.Next() % text));
    }
    EXPECT_TRUE(store->Create(session));
    sessions[session.name] = **store->Find("", session.name);
    if (number % 5 != 4) continue;
    EXPECT_TRUE(store->Remove("", session.name));
    sessions.erase(session.name);
  }
  EXPECT_TRUE(store->Remember("", "m", std::vector<int32_t>(1000, 7)));
  return sessions;
}

void SessionDurability::ExpectIntactOrTold(const Sessions& sessions) const {
  const auto store = SessionStore::Open(path_);
  if (!store) {
    ExpectSentence(store.error(), path_);
    return;
  }
  const auto list = (*store)->List("");
  if (!list) ExpectSentence(list.error(), path_);
  if (list) {
    EXPECT_EQ(list->size(), sessions.size());
  }
  for (const auto& [name, session] : sessions) {
    const auto found = (*store)->Find("", name);
    if (found) {
      ASSERT_TRUE(*found) << name << " was lost without a word";
      ASSERT_EQ(**found, session);
    } else {
      ExpectSentence(found.error(), path_);
    }
  }
}

TEST_F(SessionDurability, FlippedBytesAreNoticed) {
  const Sessions sessions = Fill(40, 6000);
  const std::string whole = testing::ReadFileOrDie(path_);
  ASSERT_GT(whole.size(), 300'000U);
  RandomStream random(5);
  for (int round = 0; round < 250; ++round) {
    const size_t offset = round < 100 ? static_cast<size_t>(round) : random.Next() % whole.size();
    SCOPED_TRACE(offset);
    std::string changed(1, static_cast<char>(whole[offset] ^ (1 + random.Next() % 255)));
    Write(offset, changed);
    ExpectIntactOrTold(sessions);
    Restore(whole);
    if (HasFailure()) return;
  }
}

// Nor does writing into a damaged store spoil what is intact in it.
TEST_F(SessionDurability, WritingSpoilsNothing) {
  const Sessions sessions = Fill(40, 6000);
  const std::string whole = testing::ReadFileOrDie(path_);
  RandomStream random(6);
  for (int round = 0; round < 60; ++round) {
    const size_t offset = random.Next() % whole.size();
    SCOPED_TRACE(offset);
    Write(offset, std::string(1 + random.Next() % 40, static_cast<char>(random.Next())));
    Sessions now = sessions;
    {
      const auto store = SessionStore::Open(path_);
      if (store) {
        for (auto& [name, session] : now) {
          if (random.Next() % 8 != 0) continue;
          const SavedTurn turn = SizedTurn(0, std::vector<int32_t>(3000, 9), 2000);
          const auto address = (*store)->AppendTurn("", name, std::ssize(session.turns), turn, 101);
          if (!address) continue;
          session.used = 101;
          session.turns.push_back(turn);
          session.turns.back().address = *address;
        }
      }
    }
    ExpectIntactOrTold(now);
    Restore(whole);
    if (HasFailure()) return;
  }
}

TEST_F(SessionDurability, CutFilesAreNoticed) {
  const Sessions sessions = Fill(20, 6000);
  const std::string whole = testing::ReadFileOrDie(path_);
  RandomStream random(7);
  for (int round = 0; round < 60; ++round) {
    const size_t size = round < 10       ? static_cast<size_t>(1 + round * 50)
                        : round % 2 == 0 ? random.Next() % (whole.size() / 4096) * 4096 + 4096
                                         : random.Next() % whole.size();
    if (size >= whole.size()) continue;
    SCOPED_TRACE(size);
    Restore(whole.substr(0, size));
    ExpectIntactOrTold(sessions);
    if (HasFailure()) return;
  }
}

// Of a store this large the pages are not checked when it is opened.
TEST_F(SessionDurability, ALargeStoreNoticesDamageToo) {
  const Sessions sessions = Fill(40, 6000);
  const auto size = fs::file_size(path_);
  ASSERT_TRUE(MustOpen()->Remember("", "m", std::vector<int32_t>(17'000'000)));
  const std::string whole = testing::ReadFileOrDie(path_);
  ASSERT_GT(whole.size(), size_t{64} << 20);
  RandomStream random(8);
  for (int round = 0; round < 80; ++round) {
    const size_t offset = random.Next() % size;
    SCOPED_TRACE(offset);
    Write(offset, std::string(1, static_cast<char>(whole[offset] ^ (1 + random.Next() % 255))));
    ExpectIntactOrTold(sessions);
    Write(offset, whole.substr(offset, 1));
    if (HasFailure()) return;
  }
}

TEST_F(SessionDurability, OtherFilesStayAsTheyAre) {
  ASSERT_TRUE(WriteFileAtomically(path_, "A letter to a friend, which nobody wants to lose.\n"));
  ExpectRefused(path_, ErrorCode::kCorrupt,
                ": a session store is expected, found another kind of file");
  EXPECT_EQ(testing::ReadFileOrDie(path_), "A letter to a friend, which nobody wants to lose.\n");

  const std::string other = folder_ / "other.db";
  SQLite::Database(other, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (a)");
  const std::string before = testing::ReadFileOrDie(other);
  ExpectRefused(other, ErrorCode::kCorrupt,
                ": a session store is expected, found another SQLite database");
  EXPECT_EQ(testing::ReadFileOrDie(other), before);

  const std::string later = folder_ / "later.db";
  ASSERT_TRUE(SessionStore::Open(later));
  SQLite::Database(later, SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 3");
  ExpectRefused(later, ErrorCode::kUnsupported,
                ": a session store of version 2 is expected, found 3: a later Fulmen made it");

  ExpectRefused(folder_.path(), ErrorCode::kIo,
                ": a session store is a regular file, found a folder");
  ExpectRefused("/dev/null", ErrorCode::kIo,
                ": a session store is a regular file, found something else");
  const auto nowhere = SessionStore::Open("/proc/sessions/a.db");  // read-only even for root
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message,
            "cannot make the folder /proc/sessions: No such file or directory");
  const auto below = SessionStore::Open(path_ + "/a.db");
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().message, "cannot make the folder " + path_ + ": Not a directory");
}

// Names that SQLite gives a meaning of its own, and a link.
TEST_F(SessionDurability, NamesAreNames) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  for (const char* name : {":memory:", "file:a.db?mode=memory", "b.db"}) {
    const auto store = SessionStore::Open(name);
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_TRUE(fs::exists(name));
  }
  fs::create_symlink("b.db", "link.db");
  EXPECT_TRUE(SessionStore::Open("link.db"));
  EXPECT_TRUE(fs::is_symlink("link.db"));
  fs::current_path(before);
}

TEST_F(SessionDurability, AFullDiskLosesNothing) {
  const auto store = MustOpen();
  ASSERT_TRUE(store->Create(SizedSession("x")));
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);  // as the program does
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit before = limit;
  limit.rlim_cur = 200'000;  // bytes of a file
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::vector<int32_t> stored;
  Status status;
  while (status && stored.size() < 1000) {
    const auto turn = static_cast<int32_t>(stored.size());
    const auto address = store->AppendTurn("", "x", turn, SizedTurn(turn, {turn}, 5000), 1);
    if (address) stored.push_back(turn);
    if (!address) status = tl::unexpected<Error>(address.error());
  }
  const auto remembered = store->Remember("", "m", std::vector<int32_t>(10'000));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(status.error().message,
            path_ + ": the disk failed or is full, so this was not stored (disk I/O error)");
  EXPECT_FALSE(remembered);
  EXPECT_GT(stored.size(), 3U);
  EXPECT_EQ((*MustOpen()->Find("", "x"))->Ids(), stored);
  // There is room again.
  const auto turn = static_cast<int32_t>(stored.size());
  EXPECT_TRUE(store->AppendTurn("", "x", turn, SizedTurn(turn, {turn}, 5000), 1));
}

TEST_F(SessionDurability, SaysWhatTheDatabaseMeans) {
  const auto said = [](int code) {
    return DatabaseError("f", kSessionDatabase, SQLite::Exception("internal", code)).message;
  };
  EXPECT_EQ(said(13), "f: the disk is full, so this was not stored");  // SQLITE_FULL
  EXPECT_EQ(said(5), "f: another process has not let go of the session store for 10 seconds");
  EXPECT_EQ(said(8),
            "f: the session store cannot be opened for writing, or its folder cannot be written "
            "into");
  EXPECT_EQ(said(1), "f: the session store is damaged: internal");
}

// The ids of a turn, told from those of all others.
std::vector<int32_t> IdsOf(int32_t turn) { return std::vector<int32_t>(1 + turn % 50, turn); }

// A process that adds turns to the session `name`, and writes a byte for each once it is stored.
pid_t StartWriter(const std::string& path, const std::string& name, int acknowledge) {
  const pid_t child = fork();
  if (child != 0) return child;
  const auto store = SessionStore::Open(path);
  if (!store) _exit(1);
  while (true) {
    const auto session = (*store)->Find("", name);
    if (!session || !*session) _exit(2);
    const auto turn = static_cast<int32_t>((*session)->turns.size());
    const auto tokens = std::ssize((*session)->Ids());
    if (!(*store)->AppendTurn("", name, turn, SizedTurn(tokens, IdsOf(turn), 3000), turn)) _exit(3);
    if (write(acknowledge, ".", 1) != 1) _exit(4);
    if (!(*store)->Remember("", "m", IdsOf(turn))) _exit(5);
  }
}

// How many bytes come until all that could write has ended.
int64_t CountToTheEnd(int file) {
  std::array<char, 4096> buffer;
  int64_t count = 0;
  for (ssize_t got = 1; got > 0; count += got) got = read(file, buffer.data(), buffer.size());
  return count;
}

TEST_F(SessionDurability, KilledProcessesLoseNothingTheyAcknowledged) {
  constexpr int kRounds = 20;
  const std::array<std::string, 2> names = {"a", "b"};
  for (const std::string& name : names) ASSERT_TRUE(MustOpen()->Create(SizedSession(name)));
  std::array<int64_t, 2> stored = {0, 0};
  int64_t acknowledged = 0;
  RandomStream random(9);
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    std::array<pid_t, 2> writers{};
    std::array<std::array<int, 2>, 2> pipes{};
    for (size_t i = 0; i < 2; ++i) {
      ASSERT_EQ(pipe(pipes[i].data()), 0);
      writers[i] = StartWriter(path_, names[i], pipes[i][1]);
      close(pipes[i][1]);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(5'000 + random.Next() % 60'000));
    for (const pid_t writer : writers) kill(writer, SIGKILL);
    for (size_t i = 0; i < 2; ++i) {
      const int64_t told = CountToTheEnd(pipes[i][0]);
      close(pipes[i][0]);
      int status = 0;
      ASSERT_EQ(waitpid(writers[i], &status, 0), writers[i]);
      EXPECT_TRUE(WIFSIGNALED(status)) << "ended by itself with " << WEXITSTATUS(status);
      const auto session = MustOpen()->Find("", names[i]);
      ASSERT_TRUE(session && *session);
      const int64_t turns = std::ssize((*session)->turns);
      EXPECT_GE(turns, stored[i] + told);
      EXPECT_LE(turns, stored[i] + told + 1);
      std::vector<int32_t> expected;
      for (int32_t turn = 0; turn < turns; ++turn) {
        expected.insert(expected.end(), static_cast<size_t>(1 + turn % 50), turn);
      }
      EXPECT_EQ((*session)->Ids(), expected);
      stored[i] = turns;
      acknowledged += told;
    }
  }
  RecordProperty("acknowledged", std::to_string(acknowledged));
  EXPECT_GT(acknowledged, kRounds);
}

}  // namespace
}  // namespace fulmen
