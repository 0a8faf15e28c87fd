// The last conversation of `fulmen call`, for the next one to go on with.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "call/api.h"

namespace fulmen {

struct CallConversation {
  std::string url = {};
  Api api = Api::kOpenai;
  std::string model = {};
  std::string system = {};
  Json messages = Json::array();  // as CallRequest has them
};

// From and to call.json in $XDG_STATE_HOME/fulmen or ~/.local/state/fulmen, which only its owner
// may read. No key is in it.
Result<CallConversation> LoadCallConversation();
Status SaveCallConversation(const CallConversation& conversation);

}  // namespace fulmen
