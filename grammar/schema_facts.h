// What a schema says about values of one type, after references, alternatives and negations have
// been resolved into lists of plain facts that all hold.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "grammar/terms.h"

namespace fulmen {

enum class JsonType : uint8_t { kNull, kBoolean, kNumber, kString, kArray, kObject };

// That a value is allowed by a schema, or that it is not.
struct Claim {
  const Json* schema;
  bool holds;
  // NOLINTNEXTLINE(modernize-use-nullptr): what it warns of is not there
  friend auto operator<=>(const Claim&, const Claim&) = default;
};
// All of these; in rising order, none twice.
using Claims = std::vector<Claim>;
void Sort(Claims& claims);

constexpr int64_t kNoLimit = INT64_MAX;

// A number of things, from `min` to `max`.
struct CountRange {
  int64_t min = 0;
  int64_t max = kNoLimit;
  friend bool operator==(const CountRange&, const CountRange&) = default;
};

struct NumberFacts {
  struct Bound {
    Json value;
    bool open;  // the value itself is outside
    friend bool operator==(const Bound&, const Bound&) = default;
  };
  std::vector<Bound> lower;
  std::vector<Bound> upper;
  std::vector<Json> multiple_of;
  std::vector<Json> not_multiple_of;  // 1: no whole number
  friend bool operator==(const NumberFacts&, const NumberFacts&) = default;
};

struct StringFacts {
  CountRange length;  // in characters
  // Languages of the text, each character in its one spelling (Spelling::kJson).
  std::vector<Term> in;
  std::vector<Term> not_in;
  friend bool operator==(const StringFacts&, const StringFacts&) = default;
};

struct ArrayFacts {
  CountRange items;
  std::vector<Claims> prefix;  // of the first items
  Claims rest;                 // of each further one
  struct Contains {
    Claim item;
    CountRange count;
    friend bool operator==(const Contains&, const Contains&) = default;
  };
  std::vector<Contains> contains;
  bool unique = false;
  friend bool operator==(const ArrayFacts&, const ArrayFacts&) = default;
};

struct ObjectFacts {
  // The keywords of one schema that share what "additional" means.
  struct Group {
    std::vector<std::pair<std::string, Claim>> properties;
    std::vector<std::pair<std::string, Claim>> patterns;
    std::optional<Claim> additional;
    friend bool operator==(const Group&, const Group&) = default;
  };
  std::vector<Group> groups;
  // For each of these some key exists to which "additional" applies, and it holds.
  std::vector<Group> exists;
  std::vector<std::string> required;
  std::vector<std::string> forbidden;
  Claims names;  // of the keys, as strings
  CountRange properties;
  friend bool operator==(const ObjectFacts&, const ObjectFacts&) = default;
};

// Of the members only those of the type in question say anything.
struct Facts {
  // One of these, and none of those: values of types that have no parts.
  std::optional<std::vector<Json>> values;
  std::vector<Json> excluded;
  NumberFacts number;
  StringFacts string;
  ArrayFacts array;
  ObjectFacts object;
  friend bool operator==(const Facts&, const Facts&) = default;
};

}  // namespace fulmen
