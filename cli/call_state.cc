#include "cli/call_state.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "base/file_io.h"
#include "cli/state_folder.h"

namespace fulmen {

namespace fs = std::filesystem;

Result<CallConversation> LoadCallConversation() {
  const std::string path = StatePath("call.json");
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) {
    return Fail(ErrorCode::kNotFound, "there is no earlier call to continue");
  }
  FULMEN_ASSIGN(const Json json, ReadJsonFile(path));
  CallConversation conversation;
  FULMEN_ASSIGN(conversation.url, StringMember(json, "url", path));
  FULMEN_ASSIGN(const std::string api, StringMember(json, "api", path));
  FULMEN_ASSIGN(conversation.model, StringMember(json, "model", path));
  FULMEN_ASSIGN(conversation.system, StringMember(json, "system", path));
  const auto known = ApiFromName(api);
  const Json& messages = Member(json, "messages");
  if (!known || !messages.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: expected a conversation, found something else", path);
  }
  conversation.api = *known;
  conversation.messages = messages;
  return conversation;
}

Status SaveCallConversation(const CallConversation& conversation) {
  const std::string path = StatePath("call.json");
  if (path.empty()) return {};  // nowhere to keep it
  const Json json = {{"url", conversation.url},
                     {"api", ApiName(conversation.api)},
                     {"model", conversation.model},
                     {"system", conversation.system},
                     {"messages", conversation.messages}};
  const mode_t before = umask(0077);
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  Status written = WriteFileAtomically(path, DumpJson(json) + "\n");
  umask(before);
  return written;
}

}  // namespace fulmen
