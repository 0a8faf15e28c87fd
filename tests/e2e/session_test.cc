// fulmen session: what is printed, what is kept, and what is refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "base/random.h"
#include "engine/session_file.h"
#include "engine/session_store.h"
#include "tests/e2e/stored_sessions.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class SessionCommand : public ::testing::Test {
 protected:
  SessionCommand() { WriteSessions(store_); }

  ProgramResult Run(Words words, const ProgramOptions& options = {}) const {
    words.insert(words.begin(), "session");
    words.insert(words.end(), {"--sessions", store_});
    return RunFulmen(words, options);
  }
  // What it prints; it succeeds, and says nothing besides.
  std::string Out(const Words& words, const ProgramOptions& options = {}) const {
    const ProgramResult result = Run(words, options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }
  void ExpectError(const Words& words, const std::string& sentence, int status = 1) const {
    const ProgramResult result = Run(words);
    EXPECT_EQ(result.exit_code, status);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.substr(0, result.err.find('\n')), "fulmen: " + sentence);
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    const Json list = *ParseJson(Out({"list", "--json"}), "list");
    for (const Json& each : list) names.insert(each["name"]);
    return names;
  }

  const TemporaryFolder folder_;
  const std::string store_ = folder_ / "sessions.db";
};

TEST_F(SessionCommand, Lists) {
  EXPECT_EQ(Out({"list"}),
            "TURNS   TOKENS  USED                     EXPIRES                  NAME\n"
            "    2        5  2025-11-24 16:10:00 UTC  -                        work\n"
            "    1        2  2025-11-24 16:05:00 UTC  9999-12-31 23:59:59 UTC  plan\n");
  EXPECT_EQ(Out({"list", "--all"}),
            "TURNS   TOKENS  USED                     EXPIRES                  NAMESPACE/NAME\n"
            "    2        5  2025-11-24 16:10:00 UTC  -                        /work\n"
            "    1        2  2025-11-24 16:05:00 UTC  9999-12-31 23:59:59 UTC  /plan\n"
            "    0        0  2025-11-24 16:00:00 UTC  -                        org/work\n");
  const Json list = *ParseJson(Out({"list", "--json", "--namespace", "org"}), "list");
  EXPECT_EQ(list.dump(),
            R"([{"namespace":"org","name":"work","model":"sha256-of-a-model","chat_format":"m1",)"
            R"("created":1764000000,"used":1764000000,"expires":null,"turns":0,"tokens":0,)"
            R"("damaged":false,"metadata":{}}])");
}

TEST_F(SessionCommand, ShowsAConversation) {
  EXPECT_EQ(Out({"show", "work"}),
            "system\n  Be brief.\n"
            "user\n  What is Fulmen?\n"
            "assistant\n  A program.\n  It answers.\\x1b[2J\n"
            "user\n  Weather?\n"
            "assistant (reasoning)\n  I should look.\n"
            "assistant (calls weather)\n  {\"in\":\"Rome\"}\n");
  EXPECT_EQ(Out({"show", "work", "--ids"}), "10 11 12 20 21\n");
  EXPECT_EQ(Out({"show", "work", "--namespace", "org"}), "");
  const Json json = *ParseJson(Out({"show", "work", "--json"}), "show");
  EXPECT_EQ(json["messages"].size(), 4U);
  EXPECT_EQ(json["messages"][1]["content"], "A program.\nIt answers.\x1b[2J");
  EXPECT_FALSE(json.contains("ids"));
  const Json ids = *ParseJson(Out({"show", "work", "--json", "--ids"}), "show");
  EXPECT_EQ(ids["ids"].dump(), "[10,11,12,20,21]");
}

TEST_F(SessionCommand, CopiesMovesAndRemoves) {
  EXPECT_EQ(Out({"fork", "work", "copy"}), "");
  EXPECT_EQ(Out({"show", "copy"}), Out({"show", "work"}));
  EXPECT_EQ(Out({"rename", "work", "later"}), "");
  EXPECT_EQ(Names(), (std::set<std::string>{"copy", "later", "plan"}));
  EXPECT_EQ(Out({"rm", "later", "plan", "later"}), "");
  EXPECT_EQ(Names(), (std::set<std::string>{"copy"}));
  EXPECT_EQ(Out({"rm", "work", "--namespace", "org"}), "");
  EXPECT_EQ(Out({"list", "--namespace", "org"}), "");
}

TEST_F(SessionCommand, ExportsAndImports) {
  const std::string text = Out({"export", "work"});
  EXPECT_EQ(Out({"export", "work", folder_ / "work.json"}), "");
  EXPECT_EQ(ReadFileOrDie(folder_ / "work.json"), text);
  ExpectError({"import", folder_ / "work.json"},
              "there is a session \"work\" already; another name may follow the file");
  ExpectError({"import", folder_ / "work.json", "plan"}, "there is a session \"plan\" already");
  EXPECT_EQ(Out({"import", folder_ / "work.json", "again"}), "again\n");
  EXPECT_EQ(Out({"import", "-", "--namespace", "new"}, {.input = text}), "work\n");
  EXPECT_EQ(Out({"show", "again"}), Out({"show", "work"}));
  EXPECT_EQ(Out({"show", "work", "--ids", "--namespace", "new"}), "10 11 12 20 21\n");
  // The exported file says the same of it, but for its name.
  SavedSession again = *ParseSession(Out({"export", "again"}), "again");
  again.name = "work";
  EXPECT_EQ(FormatSession(again), text);
  std::string damaged = text;
  damaged[damaged.find("Fulmen")] = 'P';
  ASSERT_TRUE(WriteFileAtomically(folder_ / "bad.json", damaged));
  const ProgramResult result = Run({"import", folder_ / "bad.json", "bad"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("bad.json: the file is damaged: its checksum is "), std::string::npos);
  EXPECT_FALSE(Names().contains("bad"));
}

// docs/sessions.md says that it can be checked so.
TEST_F(SessionCommand, ChecksumsCanBeReckonedElsewhere) {
  const ProgramResult result =
      RunProgram({"python3", "-c",
                  "import sys, json, hashlib\n"
                  "session = json.load(sys.stdin)\n"
                  "checksum = session.pop('checksum')\n"
                  "text = json.dumps(session, ensure_ascii=False, separators=(',', ':'))\n"
                  "print(checksum == hashlib.sha256(text.encode()).hexdigest())"},
                 {.input = Out({"export", "work"})});
  if (result.exit_code == 127) GTEST_SKIP() << "no python3";
  EXPECT_EQ(result.out, "True\n") << result.err;
}

TEST_F(SessionCommand, Expires) {
  EXPECT_EQ(Out({"expire", "plan", "--never"}), "");
  EXPECT_EQ(Out({"expire", "work", "--after", "1s"}), "");
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  EXPECT_EQ(Names(), (std::set<std::string>{"plan"}));
  ExpectError({"show", "work"}, "there is no session \"work\" in " + store_);
}

TEST_F(SessionCommand, TellsWhatIsWrong) {
  const std::string missing = "there is no session \"wrok\" in " + store_;
  for (const Words& words : std::vector<Words>{{"show", "wrok"},
                                               {"export", "wrok"},
                                               {"rename", "wrok", "a"},
                                               {"fork", "wrok", "a"},
                                               {"expire", "wrok", "--never"},
                                               {"rm", "plan", "wrok"}}) {
    ExpectError(words, missing);
  }
  ExpectError({"show", "wor"},
              "there is no session \"wor\" in " + store_ + "; did you mean \"work\"?");
  ExpectError({"rm", "plan", "wor"},
              "there is no session \"wor\" in " + store_ + "; did you mean \"work\"?");
  EXPECT_TRUE(Names().contains("plan"));
  ExpectError({"fork", "work", "plan"}, "there is a session \"plan\" already");
  ExpectError({"fork", "work", "a/b"},
              "a session's name should be 1 to 200 bytes of printable UTF-8 without \"/\", found "
              "\"a/b\"",
              2);
  ExpectError({"import", "f", "a\n"},
              "a session's name should be 1 to 200 bytes of printable UTF-8 without \"/\", found "
              "\"a\\n\"",
              2);
  ExpectError({"expire", "work"}, "either --after TIME or --never is needed", 2);
  ExpectError({"expire", "work", "--after", "5"},
              "--after should be a time of at most a hundred years, as in 90s, 45m, 12h, 30d or "
              "2w, found \"5\"",
              2);
  ExpectError({"expire", "work", "--after", "36601d"},
              "--after should be a time of at most a hundred years, as in 90s, 45m, 12h, 30d or "
              "2w, found \"36601d\"",
              2);
}

// Nothing is made by asking for what is in it.
TEST_F(SessionCommand, AStoreThatIsNotThereIsEmpty) {
  const std::string nowhere = folder_ / "nowhere.db";
  EXPECT_EQ(RunFulmen({"session", "list", "--sessions", nowhere}).exit_code, 0);
  EXPECT_EQ(RunFulmen({"session", "list", "--json", "--sessions", nowhere}).out, "[]\n");
  const ProgramResult result = RunFulmen({"session", "show", "a", "--sessions", nowhere});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "fulmen: there is no session \"a\": " + nowhere + " is not there yet\n");
  EXPECT_FALSE(std::filesystem::exists(nowhere));
}

TEST_F(SessionCommand, FindsItsStore) {
  const auto with = [&](const Words& environment) {
    Words command = {"env", "-u", "FULMEN_SESSIONS", "-u", "XDG_STATE_HOME", "-u", "HOME"};
    command.insert(command.end(), environment.begin(), environment.end());
    command.insert(command.end(), {FulmenBinary(), "session", "list", "--json"});
    return RunProgram(command, {.folder = folder_.path()});
  };
  const std::string listed = Out({"list", "--json"});
  EXPECT_EQ(with({"FULMEN_SESSIONS=" + store_}).out, listed);
  std::filesystem::create_directories(folder_ / ".local/state/fulmen");
  std::filesystem::copy(store_, folder_ / ".local/state/fulmen/sessions.db");
  EXPECT_EQ(with({"HOME=" + folder_.path()}).out, listed);
  EXPECT_EQ(with({"HOME=" + folder_.path(), "FULMEN_SESSIONS="}).out, listed);
  EXPECT_EQ(with({"XDG_STATE_HOME=" + folder_ / ".local/state"}).out, listed);
  EXPECT_EQ(with({"HOME=" + folder_.path(), "XDG_STATE_HOME=/nowhere"}).out, "[]\n");
  EXPECT_EQ(with({}).exit_code, 1);
  EXPECT_EQ(with({}).err,
            "fulmen: there is no home folder to keep sessions in: name a file with --sessions or "
            "FULMEN_SESSIONS\n");
}

// Commands in a row, killed at any moment: what one of them has finished is there.
TEST_F(SessionCommand, KilledCommandsLoseNothingTheyFinished) {
  const std::string script =
      "for ((i = $1;; ++i)); do "
      "\"$0\" session fork work made-$i --sessions \"$2\" && echo fork $i; "
      "if ((i % 3 == 0)); then "
      "\"$0\" session rename made-$i moved-$i --sessions \"$2\" && echo move $i; "
      "elif ((i % 4 == 0)); then "
      "\"$0\" session rm made-$i --sessions \"$2\" && echo rm $i; "
      "fi; "
      "done";
  RandomStream random(3);
  std::set<std::string> expected = {"work", "plan"};
  int finished = 0;
  for (int round = 0; round < 20; ++round) {
    const int first = 1 + 1000 * round;
    const ProgramResult result =
        RunProgram({"bash", "-c", script, FulmenBinary(), std::to_string(first), store_},
                   {.timeout = std::chrono::milliseconds(50 + random.Next() % 250)});
    ASSERT_TRUE(result.timed_out);
    EXPECT_EQ(result.err, "");
    std::istringstream lines(result.out);
    std::string last;
    for (std::string what, number; lines >> what >> number; ++finished) {
      if (what == "fork") expected.insert("made-" + number);
      if (what == "move") expected.insert("moved-" + number);
      if (what != "fork") expected.erase("made-" + number);
      last = number;
    }
    // The command under way may have been finished, too.
    const std::set<std::string> found = Names();
    std::set<std::string> differ;
    std::ranges::set_symmetric_difference(found, expected, std::inserter(differ, differ.end()));
    EXPECT_LE(differ.size(), 2U) << "after " << last;
    if (found.begin()->starts_with("m")) {
      EXPECT_EQ(Out({"show", *found.begin(), "--ids"}), "10 11 12 20 21\n");
    }
    expected = found;
  }
  EXPECT_GT(finished, 20);
}

// A disk of 400 kB, which only root can make.
TEST_F(SessionCommand, AFullDiskIsToldAndLosesNothing) {
  const std::string script =
      "mkdir \"$1/disk\" && mount -t tmpfs -o size=400k none \"$1/disk\" || exit 77\n"
      "cp \"$2\" \"$1/disk/s.db\"\n"
      "for ((i = 0; i < 2000; ++i)); do\n"
      "  \"$0\" session fork work made-$i --sessions \"$1/disk/s.db\" || break\n"
      "  echo made-$i\n"
      "done\n"
      "echo then\n"
      "\"$0\" session list --json --sessions \"$1/disk/s.db\" > \"$1/list.json\"\n"
      "\"$0\" session rm made-0 --sessions \"$1/disk/s.db\"\n";
  const ProgramResult result = RunProgram(
      {"unshare", "--mount", "bash", "-c", script, FulmenBinary(), folder_.path(), store_});
  if (result.out.empty()) GTEST_SKIP() << "only root can mount, where it is allowed to";
  EXPECT_NE(result.err.find("full"), std::string::npos) << result.err;
  std::set<std::string> expected = {"work", "plan"};
  std::istringstream lines(result.out);
  for (std::string name; lines >> name && name != "then";) expected.insert(name);
  EXPECT_GT(expected.size(), 10U);
  std::set<std::string> names;
  const Json list = *ReadJsonFile(folder_ / "list.json");
  for (const Json& each : list) names.insert(each["name"]);
  EXPECT_EQ(names, expected);
}

}  // namespace
}  // namespace fulmen::testing
