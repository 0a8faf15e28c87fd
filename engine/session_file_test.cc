#include "engine/session_file.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "engine/digest.h"

namespace fulmen {
namespace {

SavedSession Example() {
  return {.space = "",
          .name = "work",
          .model = "m",
          .format = ChatFormat::kM1,
          .system = "Be \"brief\".\n☃",
          .created = 1'764'000'000,
          .used = 1'764'000'000,
          .expires = {},
          .turns = {{.messages = {{{"role", "user"}, {"content", "Hi"}},
                                  {{"role", "assistant"}, {"content", nullptr}}},
                     .kept = 0,
                     .ids = {1, 2, 2147483647},
                     .answer = 2,
                     .address = {}},
                    {.messages = {{{"role", "user"}, {"content", Json::array({0.5, -1})}}},
                     .kept = 2,
                     .ids = {3},
                     .answer = 2,
                     .address = {}}}};
}

// The file of the example after `change`, with the checksum it then has.
std::string Changed(const std::function<void(Json&)>& change) {
  Json document = *ParseJson(FormatSession(Example()), "written");
  change(document);
  document["checksum"] = SessionFileChecksum(document);
  return document.dump();
}

std::string ErrorOf(std::string_view text) {
  const auto session = ParseSession(text, "f");
  return session ? "" : session.error().message;
}

TEST(SessionFile, ComesBackAsItWas) {
  const std::string text = FormatSession(Example());
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const auto session = ParseSession(text, "f");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(*session, Example());
  EXPECT_EQ(FormatSession(*session), text);
  // What belongs to a store stays there.
  SavedSession elsewhere = Example();
  elsewhere.space = "org";
  elsewhere.used += 10;
  elsewhere.expires = 5;
  elsewhere.turns[0].address = "ft_x";
  EXPECT_EQ(FormatSession(elsewhere), text);
}

TEST(SessionFile, SpacesDoNotCount) {
  const std::string spread = ParseJson(FormatSession(Example()), "written")->dump(2);
  const auto session = ParseSession(spread, "f");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(*session, Example());
}

// docs/sessions.md shows how to reckon it with other tools.
TEST(SessionFile, ChecksumIsThatOfTheOtherMembers) {
  const Json document = *ParseJson(FormatSession(Example()), "written");
  std::string text = document.dump();
  const size_t last = text.rfind(",\"checksum\":");
  text.replace(last, std::string::npos, "}");
  EXPECT_EQ(document["checksum"], Hex(Sha256(text)));
}

TEST(SessionFile, DamageIsNoticed) {
  const std::string text = FormatSession(Example());
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    for (const int bit : {0, 3, 6}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const auto session = ParseSession(changed, "f");
      ASSERT_FALSE(session) << changed;
      ASSERT_EQ(session.error().message.find('\n'), std::string::npos);
      ASSERT_TRUE(session.error().message.starts_with("f: ")) << session.error().message;
    }
    ASSERT_FALSE(ParseSession(text.substr(0, i), "f"));
  }
}

TEST(SessionFile, EveryMemberIsChecked) {
  const auto set = [](const char* path, const Json& value) {
    return ErrorOf(Changed([&](Json& document) { document[Json::json_pointer(path)] = value; }));
  };
  EXPECT_EQ(ErrorOf(Changed([](Json&) {})), "");
  EXPECT_EQ(set("/format", "other"),
            R"(f: not an exported session: 'format' should be "fulmen session", found "other")");
  EXPECT_EQ(set("/version", 3), "f: version 1 or 2 is expected, found 3");
  EXPECT_EQ(set("/metadata", Json::object()), "f: unknown member 'metadata'");
  EXPECT_EQ(set("/turns/1/info", nullptr), "f: turn 2: unknown member 'info'");
  EXPECT_EQ(set("/more", 1), "f: unknown member 'more'");
  EXPECT_EQ(set("/name", 1), "f: 'name' should be a string, found 1");
  EXPECT_EQ(set("/name", "a/b"),
            "f: a session's name should be 1 to 200 bytes of printable UTF-8 without \"/\", found "
            "\"a/b\"");
  EXPECT_EQ(set("/model", ""), "f: model should be 1 to 200 bytes of printable UTF-8, found \"\"");
  EXPECT_EQ(set("/chat_format", "m7"), "f: chat format \"m7\" is none that this version knows");
  EXPECT_EQ(set("/chat_format", 7), "f: 'chat_format' should be a string, found 7");
  EXPECT_EQ(set("/chat_format", nullptr), "");
  EXPECT_EQ(set("/system", nullptr), "f: 'system' should be a string, found null");
  EXPECT_EQ(set("/created", -1),
            "f: 'created' should be a whole number from 0 to 253402300799, found -1");
  EXPECT_EQ(set("/turns", 1), "f: 'turns' should be a list, found 1");
  EXPECT_EQ(set("/turns/1", 1), "f: turn 2: an object is expected, found 1");
  EXPECT_EQ(set("/turns/1/more", 1), "f: turn 2: unknown member 'more'");
  EXPECT_EQ(set("/turns/1/kept", 1.5),
            "f: turn 2: 'kept' should be a whole number from 0 to 9223372036854775807, found 1.5");
  EXPECT_EQ(set("/turns/1/kept", 4),
            "f: turn 2: kept should be a whole number from 0 to the 3 tokens before it, found 4");
  EXPECT_EQ(set("/turns/1/ids", "3"),
            "f: turn 2: 'ids' should be a list of token ids, found \"3\"");
  EXPECT_EQ(set("/turns/1/ids/0", 2147483648),
            "f: turn 2: a token id should be a whole number, found 2147483648");
  EXPECT_EQ(set("/turns/1/answer", 9),
            "f: turn 2: answer should be a whole number from 2 to 3, found 9");
  EXPECT_EQ(set("/turns/1/messages", "x"),
            "f: turn 2: messages should be a list of at least one, found \"x\"");
  EXPECT_EQ(ErrorOf("[]"),
            "f: not an exported session: 'format' should be \"fulmen session\", found null");
}

TEST(SessionFile, TheSecondVersionHasMetadataAndInfos) {
  SavedSession session = Example();
  EXPECT_EQ(Json::parse(FormatSession(session))["version"], 1);
  session.turns[1].info = {{"id", "chatcmpl-1"}, {"usage", {{"cost", "0.1"}}}};
  const std::string with_info = FormatSession(session);
  EXPECT_EQ(Json::parse(with_info)["version"], 2);
  EXPECT_EQ(ParseSession(with_info, "f").value(), session);
  session.metadata = {{"title", "A ☃"}, {"chat", "c"}};
  EXPECT_EQ(ParseSession(FormatSession(session), "f").value(), session);

  const auto set = [](const char* path, const Json& value) {
    return ErrorOf(Changed([&](Json& document) {
      document["version"] = 2;
      document[Json::json_pointer(path)] = value;
    }));
  };
  EXPECT_EQ(set("/version", 2), "");
  EXPECT_EQ(set("/metadata", Json::object()), "");
  EXPECT_EQ(set("/metadata", 1), "f: 'metadata' should be an object of strings, found 1");
  EXPECT_EQ(set("/metadata/a", 1), "f: 'metadata' should be an object of strings, found 1");
  EXPECT_EQ(set("/metadata/a", std::string(513, 'x')),
            "f: metadata.a should be at most 512 characters of UTF-8, found 513");
  EXPECT_EQ(set("/turns/0/info", {{"any", "thing"}}), "");
  EXPECT_EQ(set("/turns/0/info", "x"),
            "f: turn 1: info should be an object of at most 16384 bytes, found \"x\"");
  EXPECT_NE(set("/turns/0/info/x", std::string(16384, 'x')), "");
  EXPECT_EQ(set("/more", 1), "f: unknown member 'more'");
}

// What nests as deep as a message may can still be read out of a file.
TEST(SessionFile, DeepMessagesComeBack) {
  SavedSession deep = Example();
  Json& content = deep.turns[0].messages[0]["content"];
  for (int level = 0; level < 188; ++level) content = Json::array({content});
  ASSERT_TRUE(CheckSession(deep));
  const auto session = ParseSession(FormatSession(deep), "f");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(*session, deep);
}

}  // namespace
}  // namespace fulmen
