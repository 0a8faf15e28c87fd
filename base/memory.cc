#include "base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace fulmen {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

class Host final : public MemorySource {
 public:
  void* Allocate(size_t bytes) override { return AllocateAligned(bytes); }
  void Free(void* data) override { FreeAligned(data); }
  void Fill(void* data, std::byte value, size_t bytes) override {
    std::memset(data, std::to_integer<int>(value), bytes);
  }
};

}  // namespace

size_t ArrayBytes(std::initializer_list<int64_t> factors, size_t element) {
  // Half of the address space: room to round up, and for differences of pointers.
  constexpr auto kMost = std::numeric_limits<int64_t>::max() / 2;
  if (std::find(factors.begin(), factors.end(), 0) != factors.end()) return 0;
  auto product = static_cast<int64_t>(element);
  for (const int64_t factor : factors) {
    if (factor < 0 || factor > kMost / product) throw std::bad_alloc();
    product *= factor;
  }
  return static_cast<size_t>(product);
}

void* AllocateAligned(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const size_t size = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, size);
  if (data == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(data, size, MADV_HUGEPAGE);
  return data;
}

void FreeAligned(void* data) { std::free(data); }

MemorySource& HostMemory() {
  static Host host;
  return host;
}

}  // namespace fulmen
