// Large output in pieces: each is written while the next one is made.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <future>
#include <span>
#include <vector>

#include "base/status.h"

namespace fulmen {

class PieceWriter {
 public:
  using Bytes = std::span<std::byte>;

  // `progress` gets the bytes of each piece and may return false to cancel; it must outlive this.
  explicit PieceWriter(const std::function<bool(size_t)>& progress) : progress_(progress) {}

  // `make` fills the piece, and `write` takes it, in a thread of its own while the next piece is
  // made; the first error of either is returned by this call or a later one.
  Status Write(size_t bytes, const std::function<Status(Bytes)>& make,
               std::function<Status(Bytes)> write);

  // Waits for the piece being written; call before what `write` refers to goes away.
  Status Settle();

 private:
  const std::function<bool(size_t)>& progress_;
  std::array<std::vector<std::byte>, 2> buffers_;
  size_t turn_ = 0;
  std::future<Status> pending_;
};

}  // namespace fulmen
