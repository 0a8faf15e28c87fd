#include "base/machine.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "base/thread_pool.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// An invented /proc and /sys.
class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& contents) {
    const fs::path file = root_.string() + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << contents;
  }
  CgroupLimits Read() { return ReadCgroupLimits(root_.string()); }

  fs::path root_;
};

constexpr const char* kMountsV2 =
    "22 28 0:21 / /proc rw,nosuid - proc proc rw\n"
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(CgroupTest, NothingThereIsNoLimit) {
  EXPECT_EQ(Read().processors, std::nullopt);
  EXPECT_EQ(Read().memory, std::nullopt);
}

TEST_F(CgroupTest, Version2OwnLimits) {
  Write("/proc/self/mountinfo", kMountsV2);
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  Write("/sys/fs/cgroup/memory.max", "4294967296\n");
  EXPECT_EQ(Read().processors, 1.5);
  EXPECT_EQ(Read().memory, int64_t{4} << 30);
}

TEST_F(CgroupTest, Version2TightestOfTheParents) {
  Write("/proc/self/mountinfo", kMountsV2);
  Write("/proc/self/cgroup", "0::/user.slice/batch.slice/job\n");
  Write("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/user.slice/memory.max", "1000000000\n");
  Write("/sys/fs/cgroup/user.slice/batch.slice/cpu.max", "200000 100000\n");
  Write("/sys/fs/cgroup/user.slice/batch.slice/job/cpu.max", "800000 100000\n");
  Write("/sys/fs/cgroup/user.slice/batch.slice/job/memory.max", "max\n");
  EXPECT_EQ(Read().processors, 2.0);
  EXPECT_EQ(Read().memory, 1000000000);
}

TEST_F(CgroupTest, Version1InAContainer) {
  Write("/proc/self/mountinfo",
        "40 39 0:33 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 39 0:34 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  Write("/proc/self/cgroup",
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc/inner\n1:name=systemd:/docker/abc\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
  EXPECT_EQ(Read().processors, 2.5);
  EXPECT_EQ(Read().memory, 536870912);
}

TEST_F(CgroupTest, NonsenseIsNoLimit) {
  Write("/proc/self/mountinfo", std::string("- \n1 2 3 - x\n") + kMountsV2);
  Write("/proc/self/cgroup", "nonsense\n0::/../../a\n");
  Write("/sys/fs/cgroup/cpu.max", "100000 0\n");
  Write("/sys/fs/cgroup/a/cpu.max", "-5 100000\n");
  Write("/sys/fs/cgroup/a/memory.max", "99999999999999999999999999\n");
  EXPECT_EQ(Read().processors, std::nullopt);
  EXPECT_EQ(Read().memory, std::nullopt);
}

TEST(Machine, AffinityLimitsProcessors) {
  EXPECT_GE(AvailableProcessors(), 1);
  EXPECT_EQ(ThreadPool().size(), AvailableProcessors());
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(AvailableProcessors(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they map terabytes

TEST(Machine, AddressSpaceLimitsMemory) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const int64_t all = AvailableMemory();
  EXPECT_GT(all, 0);
  rlimit lower = before;
  lower.rlim_cur = static_cast<rlim_t>(all) / 2;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &lower), 0);
  const int64_t limited = AvailableMemory();
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(limited, all / 2);
}

#endif

}  // namespace
}  // namespace fulmen
