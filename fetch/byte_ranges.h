// Which bytes of a file are there already.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace fulmen {

struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;  // behind the last

  int64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

class ByteRanges {
 public:
  void Add(ByteRange range);
  // Of all ranges together.
  int64_t total() const;
  // What is missing below `size`, in order and in pieces of at most `most` bytes.
  std::vector<ByteRange> Missing(int64_t size, int64_t most) const;

 private:
  std::map<int64_t, int64_t> ends_;  // by where a range begins; none touches another
};

}  // namespace fulmen
