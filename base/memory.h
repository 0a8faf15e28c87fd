// Memory for large arrays of numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace fulmen {

// The product of `factors` and the size of an element. Throws std::bad_alloc where one is negative
// or the product is more than any memory holds, so that no array comes out smaller than asked for.
size_t ArrayBytes(std::initializer_list<int64_t> factors, size_t element);

// Aligned to whole cache lines and vectors, and on huge pages from 2 MiB on, whose addresses the
// processor translates without a walk through its tables. Uninitialised; throws std::bad_alloc.
void* AllocateAligned(size_t bytes);
void FreeAligned(void* data);

// Where large arrays lie. A device's may be out of the host's reach: then only what runs on the
// device touches them, and Fill.
class MemorySource {
 public:
  virtual ~MemorySource() = default;

  // Aligned to 64 bytes and uninitialised; throws std::bad_alloc.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* data) = 0;
  // Sets bytes of what Allocate gave.
  virtual void Fill(void* data, std::byte value, size_t bytes) = 0;
};

// AllocateAligned and FreeAligned.
MemorySource& HostMemory();

// AllocateAligned for containers.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(size_t count) {
    return static_cast<T*>(AllocateAligned(ArrayBytes({static_cast<int64_t>(count)}, sizeof(T))));
  }
  void deallocate(T* data, size_t) { FreeAligned(data); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

// The same, leaving plain elements uninitialised where no value is given.
template <class T>
struct UninitializedAllocator : AlignedAllocator<T> {
  UninitializedAllocator() = default;
  template <class U>
  explicit UninitializedAllocator(const UninitializedAllocator<U>&) {}

  template <class U>
  void construct(U* element) {
    ::new (static_cast<void*>(element)) U;
  }
};

}  // namespace fulmen
