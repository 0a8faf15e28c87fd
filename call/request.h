// What is asked of a server, in one form for all APIs, and its body in each of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "call/api.h"
#include "call/reply.h"

namespace fulmen {

// Messages and tools are as OpenAI's API has them, which the others are made from; a conversation
// that is kept can go on through another API.
struct CallRequest {
  std::string model = {};
  std::string system = {};  // "" for none
  Json messages = Json::array();
  Json tools = nullptr;   // an array from ReadTools; null: none
  Json schema = nullptr;  // of the answer; null: none
  std::optional<int64_t> max_tokens = {};
  Json fields = Json::object();  // further ones of the API; they replace those made from the above
  bool stream = true;
};

Json RequestBody(Api api, const CallRequest& request);

// `images`: URLs, data URLs among them.
Json UserMessage(const std::string& text, const std::vector<std::string>& images);
Json AssistantMessage(const Reply& reply);
Json ToolMessage(const ReplyCall& call, const std::string& result);

// An array of tools in the form of any of the APIs, or without a wrapper, in OpenAI's. `where`
// names it in errors.
Result<Json> ReadTools(const Json& tools, const std::string& where);

}  // namespace fulmen
