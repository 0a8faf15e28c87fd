#include "base/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// Where one cgroup hierarchy is mounted, and which of its groups the mount shows as its top.
struct Mount {
  fs::path point;
  std::string top;
};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool Contains(const std::string& list, const std::string& word) {
  const std::vector<std::string> words = Split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The mount that controls `controller` ("cpu", "memory"), or cgroup v2's where it is empty.
// Format: proc(5), /proc/pid/mountinfo: ID PARENT DEVICE TOP POINT OPTIONS... - TYPE SOURCE SUPER.
std::optional<Mount> FindMount(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> before = Split(line.substr(0, dash), ' ');
    const std::vector<std::string> after = Split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool found = controller.empty() ? after[0] == "cgroup2"
                                          : after[0] == "cgroup" && Contains(after[2], controller);
    if (found) return Mount{before[4], before[3]};
  }
  return std::nullopt;
}

// This process's group in that hierarchy. Format: cgroups(7), /proc/pid/cgroup:
// ID:CONTROLLERS:PATH.
std::optional<std::string> FindGroup(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool found = controller.empty() ? controllers.empty() : Contains(controllers, controller);
    if (found) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The folders of the group and of its parents, as far up as the mount shows them.
std::vector<fs::path> GroupFolders(const std::string& root, const std::string& controller) {
  const std::optional<Mount> mount = FindMount(root, controller);
  std::optional<std::string> group = FindGroup(root, controller);
  if (!mount || !group) return {};
  // Inside a container without a cgroup namespace, the path is the host's and the mount's top is
  // the container's own group.
  if (mount->top != "/") {
    group = group->starts_with(mount->top) ? group->substr(mount->top.size()) : "";
  }
  const fs::path point = root + "/" + mount->point.string();
  std::vector<fs::path> folders = {point};
  fs::path folder = point;
  for (const std::string& part : Split(*group, '/')) {
    if (!part.empty() && part != "..") folders.push_back(folder /= part);
  }
  return folders;
}

// The numbers of a file's first line; a word such as "max" ends them, as does a missing file.
std::vector<int64_t> ReadNumbers(const fs::path& path) {
  std::ifstream file(path);
  std::vector<int64_t> numbers;
  for (std::string word; numbers.size() < 2 && file >> word;) {
    int64_t number = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), number);
    if (parsed.ec != std::errc()) break;
    numbers.push_back(number);
  }
  return numbers;
}

template <class T>
void Tighten(std::optional<T>& limit, T value) {
  limit = std::min(limit.value_or(value), value);
}

void TightenQuota(CgroupLimits& limits, const std::vector<int64_t>& quota,
                  const std::vector<int64_t>& period) {
  if (quota.empty() || period.empty() || quota[0] <= 0 || period.back() <= 0) return;
  Tighten(limits.processors, static_cast<double>(quota[0]) / static_cast<double>(period.back()));
}

void TightenMemory(CgroupLimits& limits, const std::vector<int64_t>& bytes) {
  if (!bytes.empty() && bytes[0] > 0) Tighten(limits.memory, bytes[0]);
}

}  // namespace

CgroupLimits ReadCgroupLimits(const std::string& root) {
  CgroupLimits limits;
  for (const fs::path& folder : GroupFolders(root, "")) {
    const std::vector<int64_t> quota = ReadNumbers(folder / "cpu.max");  // QUOTA PERIOD
    TightenQuota(limits, quota, quota);
    TightenMemory(limits, ReadNumbers(folder / "memory.max"));
  }
  for (const fs::path& folder : GroupFolders(root, "cpu")) {
    TightenQuota(limits, ReadNumbers(folder / "cpu.cfs_quota_us"),
                 ReadNumbers(folder / "cpu.cfs_period_us"));
  }
  for (const fs::path& folder : GroupFolders(root, "memory")) {
    TightenMemory(limits, ReadNumbers(folder / "memory.limit_in_bytes"));
  }
  return limits;
}

int AvailableProcessors() {
  cpu_set_t set;
  int processors = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) processors = CPU_COUNT(&set);
  if (const std::optional<double> quota = ReadCgroupLimits().processors) {
    processors = static_cast<int>(std::min<double>(processors, std::ceil(*quota)));
  }
  return std::max(processors, 1);
}

int64_t AvailableMemory() {
  int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  if (const std::optional<int64_t> limit = ReadCgroupLimits().memory) {
    memory = std::min(memory, *limit);
  }
  rlimit address_space;
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
    memory =
        static_cast<int64_t>(std::min<rlim_t>(static_cast<rlim_t>(memory), address_space.rlim_cur));
  }
  return memory;
}

int64_t L1DataCacheBytes() {
  constexpr int64_t kUsual = 32 << 10;
  const int64_t bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  return bytes > 0 ? bytes : kUsual;
}

}  // namespace fulmen
