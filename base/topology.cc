#include "base/topology.h"

#include <hwloc.h>
#include <sched.h>

#include "base/check.h"
#include "base/machine.h"

namespace fulmen {
namespace {

std::shared_ptr<hwloc_bitmap_s> NewBitmap() { return {hwloc_bitmap_alloc(), hwloc_bitmap_free}; }

hwloc_topology* NewTopology() {
  hwloc_topology* topology = nullptr;
  FULMEN_CHECK(hwloc_topology_init(&topology) == 0, "hwloc does not start");
  return topology;
}

// Whether memory comes from the node of the thread that first touches it.
bool HasDefaultPolicy(hwloc_topology* topology) {
  hwloc_membind_policy_t policy = HWLOC_MEMBIND_DEFAULT;
  const auto nodes = NewBitmap();
  return hwloc_get_membind(topology, nodes.get(), &policy,
                           HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) == 0 &&
         (policy == HWLOC_MEMBIND_DEFAULT || policy == HWLOC_MEMBIND_FIRSTTOUCH);
}

}  // namespace

const Topology& Topology::Machine() {
  static const Topology machine(NewTopology());
  return machine;
}

Topology Topology::Invented(const std::string& description) {
  hwloc_topology* topology = NewTopology();
  FULMEN_CHECK(hwloc_topology_set_synthetic(topology, description.c_str()) == 0,
               "no topology: \"{}\"", description);
  return Topology(topology);
}

Topology::Topology(hwloc_topology* topology) : topology_(topology, hwloc_topology_destroy) {
  hwloc_topology_set_cache_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
  hwloc_topology_set_icache_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
  if (hwloc_topology_load(topology) == 0) {
    const bool real = hwloc_topology_is_thissystem(topology) != 0;
    const auto allowed = NewBitmap();
    if (!real || hwloc_get_cpubind(topology, allowed.get(), HWLOC_CPUBIND_THREAD) != 0) {
      hwloc_bitmap_fill(allowed.get());
    }
    AddNodes(allowed.get());
    binds_threads_ = real && nodes_.size() > 1;
    places_memory_ = binds_threads_ && HasDefaultPolicy(topology);
  }
  if (nodes_.empty()) nodes_.push_back({nullptr, nullptr, AvailableProcessors()});
}

void Topology::AddNodes(const hwloc_bitmap_s* allowed) {
  const auto taken = NewBitmap();
  hwloc_topology* topology = topology_.get();
  for (int i = 0; i < hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE); ++i) {
    const hwloc_obj* object =
        hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, static_cast<unsigned>(i));
    const auto cpus = NewBitmap();
    hwloc_bitmap_and(cpus.get(), object->cpuset, allowed);
    // Memory of another kind beside the same processors (HBM, CXL) comes after their own.
    hwloc_bitmap_andnot(cpus.get(), cpus.get(), taken.get());
    const int processors = hwloc_bitmap_weight(cpus.get());
    if (processors <= 0) continue;
    hwloc_bitmap_or(taken.get(), taken.get(), cpus.get());
    const auto memory = NewBitmap();
    hwloc_bitmap_copy(memory.get(), object->nodeset);
    nodes_.push_back({cpus, memory, processors});
  }
}

std::vector<int> Topology::PlaceThreads(int threads) const {
  std::vector<int> processors;  // the node of each
  for (int node = 0; node < nodes(); ++node) {
    processors.insert(processors.end(), static_cast<size_t>(this->processors(node)), node);
  }
  std::vector<int> places;
  for (int thread = 0; thread < threads; ++thread) {
    places.push_back(
        processors[static_cast<size_t>(thread) * processors.size() / static_cast<size_t>(threads)]);
  }
  return places;
}

int Topology::CurrentNode() const {
  const int cpu = binds_threads_ ? sched_getcpu() : -1;
  for (int node = 0; cpu >= 0 && node < nodes(); ++node) {
    const auto& cpus = nodes_[static_cast<size_t>(node)].cpus;
    if (hwloc_bitmap_isset(cpus.get(), static_cast<unsigned>(cpu)) != 0) return node;
  }
  return 0;
}

// What the system refuses, as in some containers, costs speed alone.
void Topology::BindThread(int node) const {
  if (!binds_threads_) return;
  hwloc_set_cpubind(topology_.get(), nodes_[static_cast<size_t>(node)].cpus.get(),
                    HWLOC_CPUBIND_THREAD);
}

Topology::MemoryOn::MemoryOn(const Topology& topology, int node) : topology_(topology) {
  if (!topology_.places_memory_) return;
  hwloc_set_membind(topology_.topology_.get(),
                    topology_.nodes_[static_cast<size_t>(node)].memory.get(), HWLOC_MEMBIND_BIND,
                    HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET);
}

Topology::MemoryOn::~MemoryOn() {
  if (!topology_.places_memory_) return;
  hwloc_set_membind(topology_.topology_.get(),
                    hwloc_topology_get_topology_nodeset(topology_.topology_.get()),
                    HWLOC_MEMBIND_DEFAULT, HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET);
}

}  // namespace fulmen
