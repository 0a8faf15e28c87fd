#include "call/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fulmen {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events Read(const std::vector<std::string_view>& pieces) {
  Events events;
  SseReader reader;
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(reader.Feed(piece, [&](std::string_view name, std::string_view data) -> Status {
      events.emplace_back(name, data);
      return {};
    }));
  }
  return events;
}

constexpr std::string_view kStream =
    ": comment\r\n\r\nevent: one\ndata: a\ndata:  b\n\ndata:c\rdata\r\revent: none\n\nid: 3\r\n"
    "data: \xc3\xa4\r\n\r\ndata: lost";

const Events kEvents = {{"one", "a\n b"}, {"", "c\n"}, {"", "\xc3\xa4"}};

TEST(Sse, ReadsAllLineEnds) { EXPECT_EQ(Read({kStream}), kEvents); }

TEST(Sse, IsTheSameCutAtEveryByte) {
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < kStream.size(); ++i) {
    EXPECT_EQ(Read({kStream.substr(0, i), kStream.substr(i)}), kEvents) << i;
    bytes.push_back(kStream.substr(i, 1));
  }
  EXPECT_EQ(Read(bytes), kEvents);
}

TEST(Sse, PassesErrorsOn) {
  SseReader reader;
  const Status status = reader.Feed("data: a\n\n", [](std::string_view, std::string_view) {
    return Status(Fail(ErrorCode::kCorrupt, "no"));
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "no");
}

TEST(Sse, BoundsAnEvent) {
  SseReader reader;
  const std::string much(SseReader::kMostBytes / 4, 'x');
  Status status;
  for (int i = 0; i < 5 && status; ++i) {
    status = reader.Feed(much, [](std::string_view, std::string_view) { return Status(); });
  }
  EXPECT_FALSE(status);
}

}  // namespace
}  // namespace fulmen
