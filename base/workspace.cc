#include "base/workspace.h"

#include <algorithm>

namespace fulmen {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMinBlock = size_t{1} << 20;

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

void* Workspace::AllocateBytes(size_t bytes) {
  bytes = RoundUp(std::max<size_t>(bytes, 1), kAlignment);
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    // Doubling keeps the number of blocks small.
    const size_t size = std::max(bytes, blocks_.empty() ? kMinBlock : 2 * blocks_.back().size);
    auto* data = static_cast<std::byte*>(memory_.Allocate(size));
    blocks_.push_back({std::unique_ptr<std::byte[], Free>(data, Free{&memory_}), size});
    used_ = 0;
  }
  std::byte* result = blocks_[block_].data.get() + used_;
  used_ += bytes;
  if (poison_) memory_.Fill(result, std::byte{0xff}, bytes);  // a NaN in every float type
  return result;
}

}  // namespace fulmen
