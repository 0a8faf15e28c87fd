#include "serve/fields.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

TEST(Fields, NullIsAbsentAndErrorsNameTheField) {
  const Json json = {{"a", nullptr}, {"n", 3}, {"x", 0.5}, {"s", {"1", "2"}}, {"o", {{"b", 1}}}};
  const Fields fields = Fields::Of(json).value();
  EXPECT_FALSE(fields.Integer("a").value());
  EXPECT_EQ(fields.Integer("n", 0, 3).value(), 3);
  EXPECT_EQ(fields.Number("n", 0, 3).value(), 3.0);
  EXPECT_EQ(fields.Strings("s", 2).value().size(), 2U);
  const Fields object = fields.Object("o").value().value();
  const auto wrong = object.Bool("b", false);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().param, "o.b");
  EXPECT_EQ(wrong.error().message, "expected true or false, found 1");
  EXPECT_EQ(fields.Integer("n", 4, 9).error().message,
            "expected a whole number from 4 to 9, found 3");
  EXPECT_EQ(fields.Integer("x").error().message, "expected a whole number, found 0.5");
  EXPECT_EQ(fields.Strings("s", 1).error().param, "s");
  EXPECT_EQ(fields.NeededString("none").error().message, "expected a string, found nothing");
  EXPECT_FALSE(Fields::Of(Json(3), "tools[0]"));
}

}  // namespace
}  // namespace fulmen
