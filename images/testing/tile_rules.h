// The rules of the goldens.
#pragma once

#include "base/json.h"
#include "images/geometry.h"

namespace fulmen::testing {

inline TileRules RulesOf(const Json& golden) {
  TileRules rules{golden.at("tile").get<int64_t>(), golden.at("patch").get<int64_t>(), {}};
  for (const Json& pinpoint : golden.at("pinpoints")) {
    rules.pinpoints.push_back({pinpoint.at(0).get<int64_t>(), pinpoint.at(1).get<int64_t>()});
  }
  return rules;
}

}  // namespace fulmen::testing
