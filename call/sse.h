// Server-sent events, as they come in pieces of any length.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// Not thread safe.
class SseReader {
 public:
  static constexpr size_t kMostBytes = size_t{64} << 20;  // of one event

  // `name` is "" where the server gives none. An error ends Feed, and is its error.
  using OnEvent = std::function<Status(std::string_view name, std::string_view data)>;

  // Lines may end in LF, CR LF or CR. Events without data are left out, as the format has it, and
  // so is what stands behind the last empty line. After an error nothing may be fed any more.
  Status Feed(std::string_view bytes, const OnEvent& on_event);

 private:
  Status TakeLine(const OnEvent& on_event);

  std::string line_;  // not yet ended
  bool after_cr_ = false;
  std::string name_;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace fulmen
