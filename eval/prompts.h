// Token ids to evaluate, from a JSON file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/prompt_images.h"
#include "model/config.h"

namespace fulmen {

struct NamedPrompt {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<PromptImage> images = {};
};

// `json` is a list of ids (named "tokens") or an object {NAME: prompt}, a prompt being a list of
// ids or {"ids": ids, "images": paths of picture files}. There each image token of the ids stands
// for a whole image, in order; of what is returned, for one of its tokens. Every prompt must have
// at least one id, fit the vocabulary and the context limit of `config`. `where` names the source
// in errors.
Result<std::vector<NamedPrompt>> ParsePrompts(const Json& json, const Config& config,
                                              const std::string& where);

}  // namespace fulmen
