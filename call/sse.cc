#include "call/sse.h"

namespace fulmen {

Status SseReader::Feed(std::string_view bytes, const OnEvent& on_event) {
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    line_ += bytes.substr(0, end);
    if (line_.size() + data_.size() > kMostBytes) {
      return Fail(ErrorCode::kCorrupt, "an event of at most {} bytes is expected, found more",
                  kMostBytes);
    }
    if (end == std::string_view::npos) return {};
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    FULMEN_TRY(TakeLine(on_event));
    line_.clear();
  }
  return {};
}

Status SseReader::TakeLine(const OnEvent& on_event) {
  if (line_.empty()) {
    Status status = has_data_ ? on_event(name_, data_) : Status();
    name_.clear();
    data_.clear();
    has_data_ = false;
    return status;
  }
  std::string_view value = line_;
  const std::string_view field = value.substr(0, value.find(':'));
  value.remove_prefix(field.size());
  if (value.starts_with(':')) value.remove_prefix(1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") {
    name_ = value;
  } else if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  return {};
}

}  // namespace fulmen
