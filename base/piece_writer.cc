#include "base/piece_writer.h"

#include <utility>

namespace fulmen {

Status PieceWriter::Write(size_t bytes, const std::function<Status(Bytes)>& make,
                          std::function<Status(Bytes)> write) {
  std::vector<std::byte>& buffer = buffers_[turn_];
  turn_ = 1 - turn_;
  if (buffer.size() < bytes) buffer.resize(bytes);
  const Bytes piece = std::span(buffer).first(bytes);
  FULMEN_TRY(make(piece));
  FULMEN_TRY(Settle());
  // Where no thread can be started, Settle() does it.
  const auto both = std::launch::async | std::launch::deferred;
  pending_ = std::async(both, [write = std::move(write), piece] { return write(piece); });
  if (!progress_(bytes)) return Fail(ErrorCode::kCancelled, "stopped, nothing was kept");
  return {};
}

Status PieceWriter::Settle() { return pending_.valid() ? pending_.get() : Status(); }

}  // namespace fulmen
