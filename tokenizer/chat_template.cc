// The family's chat formats in Jinja, for the models we write: readers other than us format chats
// by them. The words are those of tokenizer/chat.cc.
#include "base/check.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

// text(content, all): the texts of a message, or only the first.
constexpr const char* kText = R"({%- macro text(content, all) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}
{%- for part in content or [] -%}
{%- if part.type == 'text' and (all or loop.first) -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
)";
// The same with images, and always all.
constexpr const char* kTextAndImages = R"({%- macro text(content, all) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}
{%- for part in content or [] -%}
{%- if part.type == 'image' -%}{{- '<image>' -}}{%- elif part.type == 'text' -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
)";

// Of text-01 and vl-01, behind their text().
constexpr const char* kFunctionTurns = R"({%- for message in messages -%}
{{- '<beginning_of_sentence>' -}}
{%- if message.role == 'system' -%}
{{- 'system ai_setting=assistant\n' + text(message.content, false) -}}
{%- elif message.role == 'user' -%}
{{- 'user name=user\n' + text(message.content, false) -}}
{%- elif message.role == 'assistant' -%}
{{- 'ai name=assistant\n' + text(message.content, true) -}}
{%- else -%}
{{- 'system function_response=functions\n{"name": "' + message.name + '", "response": ' -}}
{{- message.content if message.content is string else message.content[0].text -}}
{{- '}' -}}
{%- endif -%}
{{- '<end_of_sentence>\n' -}}
{%- endfor -%}
{%- for tool in tools or [] -%}
{{- '<beginning_of_sentence>system function_setting=functions\n' -}}
{{- tool | tojson -}}
{{- '<end_of_sentence>\n' -}}
{%- endfor -%}
)";

// Of m1 and m1-llama-cpp, before and behind the example of a call.
constexpr const char* kToolsPart =
    R"({{- '<beginning_of_sentence>system tool_setting=tools\nYou are provided with these tools:\n<tools>\n' -}}
{%- for tool in tools -%}{{- tool | tojson + '\n' -}}{%- endfor -%}
{{- '</tools>\n\nIf you need to call tools, please respond with <tool_calls></tool_calls> XML tags, ' -}}
{{- 'and provide tool-name and json-object of arguments, following the format below:\n<tool_calls>\n' -}}
)";
constexpr const char* kToolsEnd = R"({{- '\n...\n</tool_calls><end_of_sentence>\n' -}}
)";

constexpr const char* kM1Head = R"({{- '<begin_of_document>' -}}
{%- set system = namespace(text='') -%}
{%- for message in messages if message.role == 'system' -%}
{%- set system.text = system.text + text(message.content, false) -%}
{%- endfor -%}
{%- if system.text -%}
{{- '<beginning_of_sentence>system ai_setting=assistant\n' + system.text + '<end_of_sentence>\n' -}}
{%- endif -%}
{%- if tools -%}
)";
constexpr const char* kM1Turns = R"({%- endif -%}
{%- for message in messages if message.role != 'system' -%}
{{- '<beginning_of_sentence>' -}}
{%- if message.role == 'user' -%}
{{- 'user name=user\n' + text(message.content, false) -}}
{%- elif message.role == 'assistant' -%}
{{- 'ai name=assistant\n' + text(message.content, true) -}}
{%- else -%}
{{- 'tool name=tools\n' -}}
{%- if message.content is string -%}
{{- 'tool name: ' + message.name + '\ntool result: ' -}}
{{- message.content + '\n\n' -}}
{%- else -%}
{%- for part in message.content -%}
{{- 'tool name: ' + part.name + '\ntool result: ' + part.text + '\n\n' -}}
{%- endfor -%}
{%- endif -%}
{%- endif -%}
{{- '<end_of_sentence>\n' -}}
{%- endfor -%}
)";

// DetectChatFormat tells it from m1 by "tool result: ' + message.content".
constexpr const char* kLlamaCppHead = R"({%- macro text(content) -%}
{%- if content is string -%}{{- content | trim -}}
{%- else -%}
{%- for part in content or [] if part.type == 'text' -%}{{- part.text | trim -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{{- '<begin_of_document>' -}}
{%- set system = 'You are a helpful assistant created by Minimax based on MiniMax-M1 model.' -%}
{%- if messages[0].role == 'system' -%}
{%- set first = messages[0].content -%}
{%- set system = (first if first is string else first[0].text) | trim -%}
{%- endif -%}
{%- if system -%}
{{- '<beginning_of_sentence>system ai_setting=assistant\n' + system + '<end_of_sentence>\n' -}}
{%- endif -%}
{%- if tools is defined and tools is not none -%}
)";
constexpr const char* kLlamaCppTurns = R"({%- endif -%}
{%- for message in messages if message.role != 'system' -%}
{{- '<beginning_of_sentence>' -}}
{%- if message.role == 'user' -%}
{{- 'user name=user\n' + text(message.content) -}}
{%- elif message.tool_calls -%}
{{- 'ai name=assistant\n<tool_calls>\n' -}}
{%- for call in message.tool_calls -%}
{{- '{"name": "' + call.function.name + '", "arguments": ' -}}
{{- call.function.arguments | tojson -}}
{{- '}\n' -}}
{%- endfor -%}
{{- '</tool_calls>' -}}
{%- elif message.role == 'assistant' -%}
{{- 'ai name=assistant\n' + text(message.content) -}}
{%- else -%}
{{- 'tool name=tools\n' -}}
{%- if message.content is string -%}
{{- 'tool result: ' + message.content + '\n\n' -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.name and part.type != 'text' -%}{{- 'tool name: ' + part.name + '\n' -}}{%- endif -%}
{{- 'tool result: ' + part.text + '\n\n' -}}
{%- endfor -%}
{%- endif -%}
{%- endif -%}
{{- '<end_of_sentence>\n' -}}
{%- endfor -%}
)";

constexpr const char* kPrompt =
    "{%- if add_generation_prompt -%}{{- '<beginning_of_sentence>ai name=assistant\\n' -}}"
    "{%- endif -%}";

}  // namespace

std::string ChatTemplate(ChatFormat format) {
  const auto join = [](std::initializer_list<std::string_view> parts) {
    std::string joined;
    for (const std::string_view part : parts) joined += part;
    return joined;
  };
  switch (format) {
    case ChatFormat::kText01:
      return join({kText, kFunctionTurns, kPrompt});
    case ChatFormat::kVl01:
      return join({kTextAndImages, kFunctionTurns, kPrompt});
    case ChatFormat::kM1:
      return join({kText, kM1Head, kToolsPart,
                   "{{- '{name: <tool-name-1>, arguments: <args-json-object-1>}' -}}\n", kToolsEnd,
                   kM1Turns, kPrompt});
    case ChatFormat::kM1LlamaCpp:
      return join({kLlamaCppHead, kToolsPart,
                   "{{- '{\"name\": <tool-name>, \"arguments\": <args-json-object>}' -}}\n",
                   kToolsEnd, kLlamaCppTurns, kPrompt});
  }
  FULMEN_CHECK(false, "no such chat format");
  return {};
}

}  // namespace fulmen
