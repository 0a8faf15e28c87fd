// The machine's memory nodes (NUMA): its memory lies in parts, each of which some of the processors
// read faster than the others do. Most machines have one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct hwloc_topology;
struct hwloc_bitmap_s;

namespace fulmen {

// Cheap to copy; all of it may be called from any thread.
class Topology {
 public:
  // The nodes whose processors this process may run on, numbered from 0: fewer than the machine's
  // in a cpuset or under taskset. One where the system tells nothing about nodes. Read once.
  static const Topology& Machine();
  // Another machine's, as hwloc describes them ("numa:2 core:4 pu:1"), for tests. Nothing is bound.
  static Topology Invented(const std::string& description);

  int nodes() const { return static_cast<int>(nodes_.size()); }
  int processors(int node) const { return nodes_[static_cast<size_t>(node)].processors; }

  // The node of each of `threads` threads, in ascending order: in proportion to processors.
  std::vector<int> PlaceThreads(int threads) const;

  // The node that the calling thread runs on; 0 on an invented machine.
  int CurrentNode() const;
  // Keeps the calling thread on the processors of `node`, where there are others.
  void BindThread(int node) const;

  // While it lives, memory that the calling thread is the first to touch is taken from `node`, as
  // far as that has some. Under a policy of the user's (numactl --interleave), that holds instead.
  class MemoryOn {
   public:
    MemoryOn(const Topology& topology, int node);
    ~MemoryOn();
    MemoryOn(const MemoryOn&) = delete;
    MemoryOn& operator=(const MemoryOn&) = delete;

   private:
    const Topology& topology_;
  };

 private:
  struct Node {
    std::shared_ptr<const hwloc_bitmap_s> cpus;
    std::shared_ptr<const hwloc_bitmap_s> memory;
    int processors;
  };

  // Takes ownership of `topology`, which is not loaded yet.
  explicit Topology(hwloc_topology* topology);
  void AddNodes(const hwloc_bitmap_s* allowed);

  std::shared_ptr<hwloc_topology> topology_;
  std::vector<Node> nodes_;
  bool binds_threads_ = false;
  bool places_memory_ = false;
};

}  // namespace fulmen
