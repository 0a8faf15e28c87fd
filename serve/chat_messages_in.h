// The messages and tools of a chat request, checked and brought into the shape of ChatPrompt. What
// chat APIs with OpenAI's messages share.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/answer_rules.h"
#include "serve/api_error.h"

namespace fulmen {

struct MessageRules {
  std::string_view model = {};  // as the client names it, for errors
  // A tool's result must say which call it answers. Otherwise those that do not say answer the
  // calls in order.
  bool needs_tool_call_id = true;
  // A system message without content but with a name is passed over.
  bool skips_named_system = false;
  bool continues_final = false;  // the last message is the beginning of the answer
};

// The field `messages` of a request, moved out of it: texts are not copied. What comes out has
//   role               developer is system, function is tool
//   content            one string: the parts of a list, joined by line ends, an assistant's as they
//                      are; refusals count as text. Where there are images, the list of
//                      ContentParts::Take(); those of results stand in a user's message behind them
//   reasoning_content  of assistants, under whichever name (or in <think> tags at the start of the
//                      content) it came
//   handle             of assistants that make calls, from the ids of these (turn_ids.h)
//   tool_calls         with `arguments` as an object
//   name, tool_call_id of tools' results
// Names of other messages are left out, since chat formats have no place for them.
ApiResult<Json> ReadMessages(Json& body, const MessageRules& rules);

struct ToolRules {
  bool needs_description = false;
};

// The field `tools` of a request, moved out of it; null where there are none. Schemas are not
// looked into; those that are strict are added to `strict`.
ApiResult<Json> ReadTools(Json& body, const ToolRules& rules, StrictTools& strict);

}  // namespace fulmen
