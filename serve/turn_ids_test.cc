#include "serve/turn_ids.h"

#include <gtest/gtest.h>

#include "serve/api_call.h"

namespace fulmen {
namespace {

TEST(TurnIds, LeadBackToTheHandleOfATurn) {
  const std::string handle = RandomId("turn_");  // as Turn makes them
  EXPECT_EQ(HandleIn(handle), handle);
  for (const int64_t number : {0, 7, 12}) {
    EXPECT_EQ(HandleIn(TurnItemId("call_", handle, number)), handle);
  }
  EXPECT_EQ(HandleIn("fc_" + handle), handle);
}

TEST(TurnIds, AreToldFromIdsOfOthers) {
  const std::string handle = RandomId("turn_");
  for (const std::string& id : {std::string(), std::string("call_1"), std::string("turn_"),
                                handle.substr(0, handle.size() - 1), handle + "0", handle + "_",
                                handle + "_x", "turn_" + handle}) {
    EXPECT_EQ(HandleIn(id), std::nullopt) << id;
  }
}

TEST(TurnIds, AgreeOnOneHandleOrNone) {
  const std::string handle = RandomId("turn_");
  AgreedHandle agreed;
  EXPECT_EQ(agreed.value(), std::nullopt);
  agreed.Note("call_1");
  agreed.Note(TurnItemId("call_", handle, 0));
  agreed.Note(TurnItemId("call_", handle, 1));
  EXPECT_EQ(agreed.value(), handle);
  agreed.Note(TurnItemId("call_", RandomId("turn_"), 0));
  EXPECT_EQ(agreed.value(), std::nullopt);
}

}  // namespace
}  // namespace fulmen
