// Token ids to evaluate, from a JSON file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/config.h"

namespace fulmen {

struct NamedIds {
  std::string name;
  std::vector<int32_t> ids;
};

// `json` is a list of ids (named "tokens") or an object {NAME: ids}. Every prompt must have at
// least one id, fit the vocabulary and the context limit of `config`. `where` names the source in
// errors.
Result<std::vector<NamedIds>> ParsePrompts(const Json& json, const Config& config,
                                           const std::string& where);

}  // namespace fulmen
