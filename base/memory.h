// Memory for large arrays of numbers.
#pragma once

#include <cstddef>

namespace fulmen {

// Aligned to whole cache lines and vectors, and on huge pages from 2 MiB on, whose addresses the
// processor translates without a walk through its tables. Uninitialised; throws std::bad_alloc.
void* AllocateAligned(size_t bytes);
void FreeAligned(void* data);

// AllocateAligned for containers.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(size_t count) { return static_cast<T*>(AllocateAligned(count * sizeof(T))); }
  void deallocate(T* data, size_t) { FreeAligned(data); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

}  // namespace fulmen
