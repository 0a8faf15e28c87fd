// What was said in chats, for the arrow keys of the next one.
#pragma once

#include <string>
#include <vector>

namespace fulmen {

// A file of the user's own in $XDG_STATE_HOME/fulmen or ~/.local/state/fulmen, one JSON string a
// line. Chats at the same time may share it. Where it cannot be read or written there is silently
// no history.
class ChatHistory {
 public:
  static constexpr size_t kMost = 1000;  // turns that are kept

  ChatHistory();

  // The turns of earlier chats, oldest first.
  std::vector<std::string> Load() const;
  void Add(const std::string& turn) const;

 private:
  std::string path_;  // empty: there is no place for it
};

}  // namespace fulmen
