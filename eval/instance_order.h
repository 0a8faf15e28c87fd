// A value whose properties stand in the order that a grammar wants.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/matcher.h"

namespace fulmen {

// Of the values of one schema. Tries each key as soon as it may come, in the order of those lists
// of properties in the schema that know most of an object's keys.
class InstanceOrder {
 public:
  explicit InstanceOrder(const Json& schema);

  // `value` such that its text, as json.dumps writes it, may follow what `start` has read; nullopt
  // if no order was found in which it may.
  std::optional<Json> Find(const Json& value, const Matcher& start);

 private:
  std::optional<Json> Place(const Json& value, Matcher& matcher);
  std::optional<Json> PlaceObject(const Json& value, Matcher& matcher);
  Json PlaceProperties(const Json& value, std::vector<std::string>& names, Matcher& matcher);
  std::vector<std::string> Guess(const Json& object) const;

  std::vector<std::vector<std::string>> lists_;
  int tries_ = 0;
};

}  // namespace fulmen
