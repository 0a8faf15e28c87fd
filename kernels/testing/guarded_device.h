// A device for tests whose memory the host cannot touch, as a GPU's: what is written over the
// operations alone runs on it, and anything else dies where it touches a matrix of activations.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <new>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/memory.h"
#include "kernels/operations.h"

namespace fulmen::testing {

// The memory, which can be touched during operations only, and a table of these. A Workspace over
// it must not outlive it, and is used with the guarded operations alone.
class GuardedDevice final : public MemorySource {
 public:
  GuardedDevice() = default;
  GuardedDevice(const GuardedDevice&) = delete;
  GuardedDevice& operator=(const GuardedDevice&) = delete;

  // The operations of `kernels`, for contexts whose scratch memory is this device's.
  Kernels Guard(Kernels kernels) {
    real_.forward = kernels;
    ReplaceAll(kernels);
    return kernels;
  }
  TrainingKernels Guard(TrainingKernels kernels) {
    real_ = kernels;
    ReplaceAll(kernels.forward);
    ReplaceAll(kernels);
    return kernels;
  }

  void* Allocate(size_t bytes) override {
    const int access = open_ > 0 ? kTouched : PROT_NONE;
    void* data = mmap(nullptr, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    blocks_.emplace_back(static_cast<std::byte*>(data), bytes);
    return data;
  }
  void Free(void* data) override {
    std::erase_if(blocks_, [&](const std::span<std::byte>& block) {
      return block.data() == data && munmap(data, block.size()) == 0;
    });
  }
  void Fill(void* data, std::byte value, size_t bytes) override {
    const Opened opened(*this);
    std::memset(data, std::to_integer<int>(value), bytes);
  }

 private:
  static constexpr int kTouched = PROT_READ | PROT_WRITE;

  // While one of these lives, the memory can be touched. They nest: operations allocate.
  class Opened {
   public:
    explicit Opened(GuardedDevice& device) : device_(device) {
      if (device_.open_++ == 0) device_.Protect(kTouched);
    }
    ~Opened() {
      if (--device_.open_ == 0) device_.Protect(PROT_NONE);
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

   private:
    GuardedDevice& device_;
  };

  void Protect(int access) {
    for (const std::span<std::byte> block : blocks_) {
      FULMEN_CHECK(mprotect(block.data(), block.size(), access) == 0, "{} bytes of memory",
                   block.size());
    }
  }

  template <class Table>
  const Table& Real() const {
    if constexpr (std::is_same_v<Table, Kernels>) {
      return real_.forward;
    } else {
      return real_;
    }
  }

  // Stands in for the kIndex-th operation of a table.
  template <class Table, size_t kIndex, class Result, class... Arguments>
  static Result Call(KernelContext& context, Arguments... arguments) {
    auto* device = dynamic_cast<GuardedDevice*>(&context.scratch.memory());
    FULMEN_CHECK(device != nullptr, "an operation of a guarded device got other scratch memory");
    const Opened opened(*device);
    const Table& real = device->Real<Table>();
    const auto entry = std::get<kIndex>(OperationsOf(real)).entry;
    return (real.*entry)(context, std::forward<Arguments>(arguments)...);
  }

  template <class Table, size_t kIndex, class Result, class... Arguments>
  static void Replace(Result (*&entry)(KernelContext&, Arguments...)) {
    entry = Call<Table, kIndex, Result, Arguments...>;
  }

  template <class Table>
  static void ReplaceAll(Table& table) {
    constexpr size_t kCount = std::tuple_size_v<decltype(OperationsOf(table))>;
    [&]<size_t... kIndices>(std::index_sequence<kIndices...>) {
      (Replace<Table, kIndices>(table.*std::get<kIndices>(OperationsOf(table)).entry), ...);
    }
    (std::make_index_sequence<kCount>());
  }

  std::vector<std::span<std::byte>> blocks_;
  int open_ = 0;  // how many are Opened
  TrainingKernels real_;
};

}  // namespace fulmen::testing
