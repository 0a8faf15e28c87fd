// Scratch memory for one computation: allocation is a pointer bump, and a Frame gives everything
// back at the end of its scope. Memory is 64-byte aligned and uninitialised; in poisoned workspaces
// (tests) it is filled with NaN so that a kernel reading what it did not write is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/matrix.h"
#include "base/memory.h"

namespace fulmen {

// Not thread safe: allocate before a parallel loop, not inside it.
class Workspace {
 public:
  // `memory` gives the blocks and must outlive this.
  explicit Workspace(bool poison = false, MemorySource& memory = HostMemory())
      : poison_(poison), memory_(memory) {}

  MemorySource& memory() const { return memory_; }

  // Valid until the Frame it was allocated in ends (or the workspace does). Throws std::bad_alloc
  // where there is not so much memory, however large the count.
  template <class T>
  T* Allocate(int64_t count) {
    return static_cast<T*>(AllocateBytes(ArrayBytes({count}, sizeof(T))));
  }
  Matrix AllocateMatrix(int64_t rows, int64_t cols) {
    auto* data = static_cast<float*>(AllocateBytes(ArrayBytes({rows, cols}, sizeof(float))));
    return Matrix(data, rows, cols);
  }

  class Frame {
   public:
    explicit Frame(Workspace& workspace)
        : workspace_(workspace), block_(workspace.block_), used_(workspace.used_) {}
    ~Frame() {
      workspace_.block_ = block_;
      workspace_.used_ = used_;
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

   private:
    Workspace& workspace_;
    size_t block_;
    size_t used_;
  };

 private:
  struct Free {
    MemorySource* memory;
    void operator()(std::byte* data) const { memory->Free(data); }
  };
  struct Block {
    std::unique_ptr<std::byte[], Free> data;
    size_t size;
  };

  void* AllocateBytes(size_t bytes);

  bool poison_;
  MemorySource& memory_;
  std::vector<Block> blocks_;  // never moved while in use, so pointers stay valid as it grows
  size_t block_ = 0;           // index of the block being filled
  size_t used_ = 0;            // bytes used of it
};

}  // namespace fulmen
