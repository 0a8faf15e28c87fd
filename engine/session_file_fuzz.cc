// libFuzzer target: any bytes as an exported session, and any JSON with the checksum it should
// have.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/session_file.h"

namespace {

// What is accepted can be used, and survives being written.
void Use(std::string_view text) {
  const auto session = fulmen::ParseSession(text, "input");
  if (!session) return;
  size_t tokens = 0;
  if (!session->turns.empty()) {
    const fulmen::SavedTurn& last = session->turns.back();
    tokens = static_cast<size_t>(last.kept) + last.ids.size();
  }
  if (session->Ids().size() != tokens || !session->Messages().is_array()) abort();
  const auto again = fulmen::ParseSession(fulmen::FormatSession(*session), "written");
  if (!again || !(*again == *session)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Use(text);
  auto json = fulmen::ParseJson(text, "input");
  if (!json || !json->is_object()) return 0;
  (*json)["checksum"] = fulmen::SessionFileChecksum(*json);
  Use(json->dump());
  return 0;
}
