#include "grammar/json_schema.h"

#include <gtest/gtest.h>

#include "grammar/machine.h"

namespace fulmen {
namespace {

// What a schema allows; an error where it does not compile. The oracle test (tests/grammar)
// compares thousands of schemas with another validator; these are the cases that it cannot see.
class Allowed {
 public:
  explicit Allowed(const std::string& schema, const SchemaOptions& options = {.strict = true}) {
    auto grammar = std::make_shared<Grammar>();
    const auto json = ParseJson(schema, "schema");
    const auto root = AddJsonSchema(*grammar, *json, options, left_out_);
    const Status finished = root ? grammar->Finish(*root) : tl::unexpected(root.error());
    if (finished) {
      machine_ = std::make_unique<Machine>(grammar);
    } else {
      error_ = finished.error().message;
    }
  }

  bool operator()(std::string_view text) {
    if (machine_ == nullptr) return false;
    Machine::State state = machine_->start();
    for (const char byte : text) state = machine_->Next(state, static_cast<uint8_t>(byte));
    return state != Machine::kDead && machine_->Accepts(state);
  }
  const std::string& error() const { return error_; }
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  std::unique_ptr<Machine> machine_;
  std::string error_;
  std::vector<std::string> left_out_;
};

TEST(JsonSchema, AllowsWhitespaceUpToALength) {
  const char* schema = R"({"type":"object","properties":{"a":{"type":"array"}}})";
  Allowed allowed(schema);
  EXPECT_TRUE(allowed(R"({"a":[1,2]})"));
  EXPECT_TRUE(allowed("{\n  \"a\" : [ 1 , 2 ]\n}"));
  EXPECT_TRUE(allowed("{" + std::string(16, ' ') + "\"a\":[]}"));
  EXPECT_FALSE(allowed("{" + std::string(17, ' ') + "\"a\":[]}"));
  EXPECT_FALSE(allowed(" {}"));
  EXPECT_FALSE(allowed("{} "));
  Allowed compact(schema, {.strict = true, .longest_whitespace = 0});
  EXPECT_TRUE(compact(R"({"a":[1,2]})"));
  EXPECT_FALSE(compact(R"({"a": [1,2]})"));
}

TEST(JsonSchema, KeepsTheOrderOfProperties) {
  Allowed allowed(R"({"type":"object","required":["z","c"],
                      "properties":{"b":{"type":"integer"},"a":{"type":"integer"}}})");
  EXPECT_TRUE(allowed(R"({"b":1,"a":2,"z":0,"c":null,"q":[]})"));
  EXPECT_TRUE(allowed(R"({"z":0,"c":1})"));
  EXPECT_FALSE(allowed(R"({"a":1,"b":2,"z":0,"c":0})"));  // b comes first
  EXPECT_FALSE(allowed(R"({"z":0,"c":0,"a":2})"));        // named ones before others
  EXPECT_FALSE(allowed(R"({"a":1,"z":0})"));              // c is required
}

TEST(JsonSchema, PutsPropertiesOfAllOfInItsOrder) {
  Allowed allowed(
      R"({"allOf":[{"$ref":"#/$defs/base"},{"properties":{"c":{}}}],"properties":{"a":{}},
                      "unevaluatedProperties":true,"additionalProperties":true,
                      "$defs":{"base":{"type":"object","properties":{"b":{}}}}})");
  EXPECT_TRUE(allowed(R"({"a":1,"b":2,"c":3,"d":4})"));
  EXPECT_FALSE(allowed(R"({"b":2,"a":1})"));
}

TEST(JsonSchema, SpellsStringsInOneWayWhereTheirTextMatters) {
  Allowed name(R"({"const":"a\n\"é"})");
  EXPECT_TRUE(name(R"("a\n\"é")"));
  EXPECT_FALSE(name("\"a\\u000a\\\"\\u00e9\""));
  Allowed any(R"({"type":"string","maxLength":2})");
  EXPECT_TRUE(any("\"\\u00e9\\ud83d\\ude00\""));  // two characters
  EXPECT_FALSE(any("\"\\u00e9\\ud83d\""));        // half a pair is none
  EXPECT_FALSE(any("\"abc\""));
}

TEST(JsonSchema, CountsWithoutExpanding) {
  Allowed allowed(R"({"type":"object","properties":{
      "text":{"type":"string","maxLength":524288},
      "n":{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991},
      "list":{"type":"array","items":{"type":"string","pattern":"^(\\w+\\.)*\\w+$"},"maxItems":100000},
      "empty":{"type":"object","properties":{}}},"additionalProperties":false})");
  EXPECT_TRUE(allowed(R"({"text":"x","n":9007199254740991,"list":["a.b"],"empty":{}})"));
  EXPECT_FALSE(allowed(R"({"n":9007199254740992})"));
  EXPECT_FALSE(allowed(R"({"n":-9007199254740992})"));
}

TEST(JsonSchema, FollowsReferences) {
  Allowed tree(R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{
      "value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},
      "required":["value","next"],"additionalProperties":false}}})");
  EXPECT_TRUE(tree(R"({"value":1,"next":{"value":2,"next":null}})"));
  EXPECT_FALSE(tree(R"({"value":1,"next":{"value":2}})"));
  Allowed anchor(R"({"$ref":"#x","$defs":{"a":{"$anchor":"x","type":"boolean"}}})");
  EXPECT_TRUE(anchor("true"));
  EXPECT_FALSE(anchor("1"));
  Allowed id(R"({"$id":"https://x.yz/a","$ref":"b#/$defs/n",
                 "$defs":{"b":{"$id":"b","$defs":{"n":{"type":"null"}}}}})");
  EXPECT_TRUE(id("null"));
  EXPECT_EQ(Allowed(R"({"items":{"$ref":"#/nowhere"}})").error(),
            "#/items/$ref: there is no schema \"#/nowhere\"");
}

// Draft 7 and before: what stands beside a reference means nothing.
TEST(JsonSchema, KnowsOlderSpellings) {
  Allowed draft7(
      R"({"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"s":{"type":"string"}},
                     "properties":{"a":{"$ref":"#/definitions/s","maxLength":1}},"required":["a"],"type":"object"})");
  EXPECT_TRUE(draft7(R"({"a":"long"})"));
  Allowed tuple(
      R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"string"}})");
  EXPECT_TRUE(tuple(R"([1,"a"])"));
  EXPECT_FALSE(tuple(R"([1,2])"));
  Allowed exclusive(R"({"type":"integer","minimum":0,"exclusiveMinimum":true})");
  EXPECT_FALSE(exclusive("0"));
  EXPECT_TRUE(exclusive("1"));
  Allowed nullable(R"({"type":"string","nullable":true})");
  EXPECT_TRUE(nullable("null"));
}

TEST(JsonSchema, RefusesWhatItCannotEnforceByNameAndPlace) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"uniqueItems":true}}})";
  EXPECT_EQ(Allowed(schema).error(),
            "#/properties/a/uniqueItems: items that are not one of a few values, which cannot be "
            "enforced exactly");
  Allowed lenient(schema, {.strict = false});
  EXPECT_EQ(lenient.left_out(),
            std::vector<std::string>{
                "#/properties/a/uniqueItems: items that are not one of a few values"});
  EXPECT_TRUE(lenient(R"({"a":["x","x"]})"));
  EXPECT_FALSE(lenient(R"({"a":[1]})"));
}

// Its alternatives are compared before it is built.
TEST(JsonSchema, NamesThePlaceBehindAlternatives) {
  EXPECT_EQ(Allowed(R"({"properties":{"a":{"uniqueItems":true,"type":"array","oneOf":[
                        {"items":{"type":"array","items":{"minimum":1}},"minItems":1},
                        {"maxItems":0}]}}})")
                .error(),
            "#/properties/a/uniqueItems: items that are not one of a few values, which cannot be "
            "enforced exactly");
}

TEST(JsonSchema, FindsThatNothingIsAllowed) {
  EXPECT_EQ(Allowed("false").error(), "no text at all is allowed");
  EXPECT_EQ(Allowed(R"({"type":"string","minLength":3,"maxLength":2})").error(),
            "no text at all is allowed");
  EXPECT_EQ(Allowed("[]").error(), "#: expected a schema, found []");
}

TEST(JsonSchema, BoundsWhatASchemaMayCost) {
  // 2^20 combinations.
  std::string all = R"({"allOf":[)";
  for (int part = 0; part < 20; ++part) {
    all += fmt::format(R"({}{{"anyOf":[{{"required":["a{}"]}},{{"required":["b{}"]}}]}})",
                       part == 0 ? "" : ",", part, part);
  }
  EXPECT_NE(Allowed(all + "]}").error().find("combinations"), std::string::npos);
  EXPECT_NE(Allowed(R"({"type":"string","pattern":"^(a|b)*a(a|b){30}$","minLength":40,
                        "not":{"pattern":"^(a|b)*b(a|b){25}$"}})")
                .error()
                .size(),
            0U);
}

}  // namespace
}  // namespace fulmen
