// What sessions have besides their turns' tokens: metadata, infos of answers, search, forks of some
// turns, and stores that were made before there was any of it.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/digest.h"
#include "engine/session_database.h"
#include "engine/session_search.h"
#include "engine/session_store.h"
#include "engine/testing/nano.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::ValueOrDie;
using Strings = std::vector<std::string>;

SavedTurn Turn(const std::string& text, int64_t kept, std::vector<int32_t> ids) {
  return {.messages = {{{"role", "user"}, {"content", text}},
                       {{"role", "assistant"}, {"content", "Yes to " + text}}},
          .kept = kept,
          .ids = std::move(ids),
          .answer = kept + 1,
          .address = {},
          .info = {{"id", "chatcmpl-" + text}}};
}

SavedSession DescribedSession(const std::string& name, int64_t used = 100) {
  return {.space = "",
          .name = name,
          .model = "model",
          .format = ChatFormat::kText01,
          .system = "",
          .created = 100,
          .used = used,
          .expires = {},
          .turns = {Turn("one", 0, {1, 2}), Turn("two", 2, {3, 4}), Turn("three", 3, {5, 6, 7})},
          .metadata = {{"title", "A title"}, {"chat", "c"}}};
}

class SessionMetadata : public ::testing::Test {
 protected:
  std::unique_ptr<SessionStore> Open() const { return ValueOrDie(SessionStore::Open(path_)); }
  SavedSession Stored(const std::string& name) const {
    return ValueOrDie(Open()->Find("", name)).value();
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "sessions.db";
};

TEST_F(SessionMetadata, IsMergedAndComesBack) {
  ASSERT_TRUE(Open()->Create(DescribedSession("s")));
  EXPECT_EQ(Stored("s").metadata, DescribedSession("s").metadata);
  EXPECT_EQ(Stored("s").turns[1].info, Json({{"id", "chatcmpl-two"}}));
  ASSERT_TRUE(Open()->ChangeMetadata(
      "", "s", {{"title", "Another ☃"}, {"chat", {}}, {"none", {}}, {"n", "\n"}}));
  EXPECT_EQ(Stored("s").metadata, (Metadata{{"title", "Another ☃"}, {"n", "\n"}}));
  EXPECT_EQ(Open()->List("")->at(0).metadata, Stored("s").metadata);
  EXPECT_EQ(Stored("s").used, 100);
  EXPECT_EQ(Open()->ChangeMetadata("", "t", {}).error().code, ErrorCode::kNotFound);
}

TEST_F(SessionMetadata, HasTheLimitsOfTheOpenAiApi) {
  const auto error = [](const Metadata& metadata) {
    const Status status = CheckMetadata(metadata);
    return status ? "" : status.error().message;
  };
  std::string snow;
  for (int i = 0; i < 512; ++i) snow += "☃";
  EXPECT_EQ(error({{std::string(64, 'n'), snow}}), "");
  EXPECT_EQ(error({{"n", snow + "x"}}),
            "metadata.n should be at most 512 characters of UTF-8, found 513");
  EXPECT_EQ(error({{"n", "\xff"}}),
            "metadata.n should be at most 512 characters of UTF-8, found other bytes");
  EXPECT_EQ(error({{"", "x"}}),
            "a name in metadata should be 1 to 64 characters that print, found \"\"");
  EXPECT_NE(error({{std::string(65, 'n'), "x"}}), "");
  EXPECT_NE(error({{"a\nb", "x"}}), "");
  Metadata many;
  for (int i = 0; i < 16; ++i) many[std::to_string(i)] = "";
  EXPECT_EQ(error(many), "");
  many["more"] = "";
  EXPECT_EQ(error(many), "metadata should have at most 16 pairs, found 17");

  const auto store = Open();
  ASSERT_TRUE(store->Create(DescribedSession("s")));
  EXPECT_EQ(store->ChangeMetadata("", "s", {{"n", snow + "x"}}).error().code,
            ErrorCode::kInvalidArgument);
  SavedSession other = DescribedSession("other");
  other.metadata = many;
  EXPECT_EQ(store->Create(other).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Stored("s").metadata, DescribedSession("s").metadata);
}

TEST_F(SessionMetadata, ForksTheFirstTurns) {
  const auto store = Open();
  ASSERT_TRUE(store->Create(DescribedSession("s")));
  const SavedSession original = Stored("s");
  for (int64_t turns = 0; turns <= 3; ++turns) {
    const std::string name = "fork" + std::to_string(turns);
    ASSERT_TRUE(store->Fork("", "s", name, 200, {.turns = turns}));
    SavedSession expected = original;
    expected.name = name;
    expected.created = expected.used = 200;
    expected.turns.resize(static_cast<size_t>(turns));
    EXPECT_EQ(Stored(name), expected);
    const auto kept = std::ssize(expected.Ids());
    EXPECT_TRUE(store->AppendTurn("", name, turns, Turn("more", kept, {8, 9}), 201));
    EXPECT_EQ(std::ssize(Stored(name).Ids()), kept + 2);
  }
  EXPECT_EQ(Stored("s"), original);
  ASSERT_TRUE(store->Fork("", "s", "noted", 200, {.metadata = Metadata{{"a", "b"}}}));
  EXPECT_EQ(Stored("noted").metadata, (Metadata{{"a", "b"}}));
  EXPECT_EQ(store->Fork("", "s", "far", 200, {.turns = 4}).error().message,
            "turns should be 0 to the 3 of session \"s\", found 4");
  EXPECT_FALSE(store->Fork("", "s", "far", 200, {.metadata = Metadata{{"", ""}}}));
  EXPECT_FALSE(store->Find("", "far").value());
}

TEST_F(SessionMetadata, ListsPages) {
  const auto store = Open();
  for (const auto& [name, used] : {std::pair("a", 1), {"b", 3}, {"c", 3}, {"d", 2}}) {
    ASSERT_TRUE(store->Create(DescribedSession(name, used)));
  }
  const auto names = [&](const SessionPage& page) {
    Strings all;
    for (const SessionSummary& each : ValueOrDie(store->List("", page))) all.push_back(each.name);
    return all;
  };
  EXPECT_EQ(names({}), (Strings{"b", "c", "d", "a"}));
  EXPECT_EQ(names({.after = "", .limit = 2}), (Strings{"b", "c"}));
  EXPECT_EQ(names({.after = "b", .limit = 2}), (Strings{"c", "d"}));
  EXPECT_EQ(names({.after = "c"}), (Strings{"d", "a"}));
  EXPECT_EQ(names({.after = "a"}), Strings());
  EXPECT_EQ(store->List("", {.after = "z"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ValueOrDie(store->Search("", "title", {.after = "b", .limit = 1})).at(0).session.name,
            "c");
}

TEST_F(SessionMetadata, SearchesTitlesAndMessages) {
  const auto store = Open();
  SavedSession session = DescribedSession("s", 3);
  session.metadata["title"] = "Ein SCHÖNER Tag: 50% _x_";
  session.turns[1].messages[0]["content"] =
      Json::array({{{"type", "text"},
                    {"text", std::string(200, 'v') + "\nПривет, мир" + std::string(200, 'n')}},
                   {{"type", "image_url"}, {"image_url", {{"url", "needle"}}}}});
  ASSERT_TRUE(store->Create(session));
  ASSERT_TRUE(store->Create(DescribedSession("t", 2)));
  SavedSession elsewhere = DescribedSession("s");
  elsewhere.space = "org";
  ASSERT_TRUE(store->Create(elsewhere));
  const auto found = [&](const std::string& text) { return ValueOrDie(store->Search("", text)); };

  const auto title = found("schöner tag");
  ASSERT_EQ(title.size(), 1U);
  EXPECT_EQ(title[0].session.name, "s");
  EXPECT_EQ(title[0].turn, std::nullopt);
  EXPECT_EQ(title[0].excerpt, "Ein SCHÖNER Tag: 50% _x_");

  const auto turn = found("ПРИВЕТ");
  ASSERT_EQ(turn.size(), 1U);
  EXPECT_EQ(turn[0].turn, 1);
  EXPECT_EQ(turn[0].excerpt, std::string(39, 'v') + " Привет, мир" + std::string(69, 'n'));

  EXPECT_EQ(found("yes TO one").size(), 2U);
  EXPECT_EQ(found("yes TO one")[0].turn, 0);
  EXPECT_EQ(found("50%").size(), 1U);
  EXPECT_TRUE(found("5%").empty());
  EXPECT_EQ(found("_x").size(), 1U);
  EXPECT_TRUE(found("_e").empty());
  EXPECT_TRUE(found("needle").empty());
  EXPECT_TRUE(found("\"content\"").empty());
}

TEST_F(SessionMetadata, ExcerptsHoldAllThatWasFound) {
  EXPECT_EQ(SearchText("B").ExcerptOf("a\tb\xff"), "a b\xEF\xBF\xBD");
  const std::string longer(300, 'x');
  EXPECT_EQ(SearchText(longer).ExcerptOf("a" + longer + "b"), "a" + longer);
  EXPECT_EQ(SearchText("b").ExcerptOf("a"), std::nullopt);
}

// A row of the first version, whose checksum was made so.
void InsertVersion1(SQLite::Database& database, const std::string& name) {
  const std::string messages = R"([{"role":"user","content":"Hi"}])";
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::string address = AnswerAddress("", "m", std::vector<int32_t>{3});
  const std::string of_turn = DigestFields("fulmen turn row 1")
                                  .Text("")
                                  .Text(messages)
                                  .Number(0)
                                  .Ids(ids)
                                  .Number(2)
                                  .Text(address)
                                  .Digest();
  const std::string of_session = DigestFields("fulmen session row 1")
                                     .Text("")
                                     .Text(name)
                                     .Text("m")
                                     .Text("m1")
                                     .Text("Be brief.")
                                     .Number(5)
                                     .Number(6)
                                     .Number(0)
                                     .Number(0)
                                     .Number(1)
                                     .Number(3)
                                     .Text(of_turn)
                                     .Digest();
  const auto blob = [](const std::string& bytes) { return "x'" + Hex(bytes) + "'"; };
  database.exec(
      fmt::format("INSERT INTO sessions VALUES (1, '', '{}', 'm', 'm1', 'Be brief.', 5, "
                  "6, NULL, 1, 3, {}, {})",
                  name, blob(of_turn), blob(of_session)));
  database.exec(fmt::format("INSERT INTO turns VALUES (1, 0, '{}', 0, {}, 2, '{}', {})", messages,
                            blob(IdsToBytes(ids)), address, blob(of_turn)));
}

TEST_F(SessionMetadata, AStoreOfVersion1KeepsItsSessions) {
  {
    SQLite::Database database(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(kSessionDatabase.schema);
    InsertVersion1(database, "old");
    database.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = 1",
                              kSessionDatabase.application_id));
  }
  for (int time = 0; time < 2; ++time) {
    const SavedSession old = Stored("old");
    EXPECT_EQ(old.Ids(), (std::vector<int32_t>{1, 2, 3}));
    EXPECT_TRUE(old.metadata.empty());
    EXPECT_TRUE(old.turns.at(0).info.is_null());
  }
  const auto store = Open();
  ASSERT_TRUE(store->AppendTurn("", "old", 1, Turn("new", 3, {4, 5}), 7));
  ASSERT_TRUE(store->ChangeMetadata("", "old", {{"title", "Old"}}));
  const SavedSession now = Stored("old");
  EXPECT_EQ(now.metadata.at("title"), "Old");
  EXPECT_EQ(now.turns.at(1).info["id"], "chatcmpl-new");
}

TEST_F(SessionMetadata, IsCoveredByTheChecksums) {
  for (const char* damage :
       {"UPDATE sessions SET metadata = '{\"title\":\"B\"}'", "UPDATE sessions SET metadata = ''",
        "UPDATE turns SET info = ''", "UPDATE sessions SET metadata = '['",
        "UPDATE turns SET info = '{\"id\":\"chatcmpl-other\"}'"}) {
    (void)Open()->Remove("", "s");
    ASSERT_TRUE(Open()->Create(DescribedSession("s")));
    SQLite::Database(path_, SQLite::OPEN_READWRITE).exec(damage);
    EXPECT_EQ(Open()->Find("", "s").error().code, ErrorCode::kCorrupt) << damage;
  }
}

}  // namespace
}  // namespace fulmen
