// What this process may use of the machine. A container on a large host sees all of the host's
// processors and memory, and is throttled or killed when it uses more than its cgroup allows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace fulmen {

// The tightest limits of the cgroup this process is in and of its parents; empty where there are
// none.
struct CgroupLimits {
  std::optional<double> processors;  // CPU quota over its period, e.g. 1.5
  std::optional<int64_t> memory;     // bytes
};

// Understands both versions of cgroups, also mixed. `root` is where /proc and /sys lie; what
// cannot be read there counts as no limit.
CgroupLimits ReadCgroupLimits(const std::string& root = "/");

// Threads worth starting: the processors this process may be scheduled on or its cgroups' quota
// rounded up, whichever is less; at least 1.
int AvailableProcessors();

// Bytes that this process may occupy: physical memory, its cgroups' limit or the limit on its
// address space (ulimit -v), whichever is least.
int64_t AvailableMemory();

// Of one processor; 32 KB, which most have at least, where the system does not tell.
int64_t L1DataCacheBytes();

}  // namespace fulmen
