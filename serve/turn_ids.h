// Ids that lead back to the turn they were given out in. Clients send signatures and ids of items
// back unchanged, so they carry the turn's handle (AnswerStart): its exact tokens are found again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fulmen {

// As in "toolu_turn_5Hk...Q_0": the prefix, the handle of the turn, the number in it.
std::string TurnItemId(std::string_view prefix, std::string_view handle, int64_t number);

// The handle in an id from TurnItemId, or the handle itself; nullopt for all else.
std::optional<std::string> HandleIn(std::string_view id);

// The one handle that parts of a turn agree on.
class AgreedHandle {
 public:
  void Note(std::string_view id);
  // Nullopt where no part had one, or two had different ones.
  std::optional<std::string> value() const { return differ_ ? std::nullopt : handle_; }

 private:
  std::optional<std::string> handle_;
  bool differ_ = false;
};

}  // namespace fulmen
