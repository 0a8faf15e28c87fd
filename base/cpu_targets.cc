#include "base/cpu_targets.h"

#include <fmt/ranges.h>
#include <hwy/highway.h>

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fulmen::cpu {
namespace {

std::mutex& TargetMutex() {
  static std::mutex mutex;
  return mutex;
}

// Neither Highway 1.0.3 nor __builtin_cpu_supports of Clang 14 knows AVX-VNNI. The operating system
// keeps its registers wherever it does so for AVX2.
bool HasAvxVnni() {
#if HWY_ARCH_X86
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (eax >> 4 & 1) != 0;
#else
  return false;
#endif
}

// Whether tiles of bytes and of BF16 are multiplied, and this process may: Linux keeps the
// registers of those alone who ask.
bool MayUseAmx() {
#if HWY_ARCH_X86_64 && defined(__linux__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTiles = 1U << 22 | 1U << 24 | 1U << 25;  // of BF16, at all, of bytes
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTiles) != kTiles) return false;
  constexpr int64_t kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int64_t kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Whether four products of bytes are added to each sum of 32 bits by one instruction of ARM's.
bool HasDotProducts() {
#if HWY_ARCH_ARM_A64 && defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

std::vector<Target> AllTargets() {
  static const bool amx = MayUseAmx();
  std::vector<Target> targets;
  for (const int64_t bit : hwy::SupportedAndGeneratedTargets()) {
    if (bit == HWY_AVX3_DL && amx) targets.push_back({"AVX3_AMX", bit, TargetExtension::kAmx});
    if (bit == HWY_AVX2 && HasAvxVnni()) {
      targets.push_back({"AVX2_VNNI", bit, TargetExtension::kAvxVnni});
    }
    if (bit == HWY_NEON && HasDotProducts()) {
      targets.push_back({"NEON_DOTPROD", bit, TargetExtension::kDotProd});
    }
    targets.push_back({hwy::TargetName(bit), bit, TargetExtension::kNone});
  }
  return targets;
}

}  // namespace

ScopedTarget::ScopedTarget(int64_t targets) : lock_(TargetMutex()) {
  hwy::GetChosenTarget().Update(targets);
}
ScopedTarget::~ScopedTarget() { hwy::GetChosenTarget().DeInit(); }

std::vector<std::string> Targets() {
  std::vector<std::string> names;
  for (const Target& target : AllTargets()) names.push_back(target.name);
  return names;
}

Result<Target> FindTarget(std::string_view name) {
  for (const Target& target : AllTargets()) {
    if (name == target.name) return target;
  }
  return Fail(ErrorCode::kUnsupported,
              "the CPU target must be one of {} on this machine, but it is \"{}\"",
              fmt::join(Targets(), ", "), name);
}

Result<std::string> ChosenTarget() {
  const char* wanted = std::getenv("FULMEN_CPU_TARGET");
  if (wanted != nullptr && *wanted != '\0') {
    const Result<Target> target = FindTarget(wanted);
    if (!target) return Fail(target.error().code, "FULMEN_CPU_TARGET: {}", target.error().message);
    return wanted;
  }
  const std::vector<std::string> available = Targets();
  if (available.empty()) {
    return Fail(ErrorCode::kUnsupported,
                "this processor has none of the instruction sets the cpu kernels are built for; "
                "the ref kernels (FULMEN_KERNELS=ref) run anywhere");
  }
  return available.front();
}

}  // namespace fulmen::cpu
