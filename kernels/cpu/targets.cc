#include "kernels/cpu/targets.h"

#include <fmt/ranges.h>
#include <hwy/highway.h>

#include "kernels/cpu/register.h"

namespace fulmen::cpu {
namespace {

std::mutex& TargetMutex() {
  static std::mutex mutex;
  return mutex;
}

std::vector<int64_t> TargetBits() { return hwy::SupportedAndGeneratedTargets(); }

}  // namespace

ScopedTarget::ScopedTarget(int64_t targets) : lock_(TargetMutex()) {
  hwy::GetChosenTarget().Update(targets);
}
ScopedTarget::~ScopedTarget() { hwy::GetChosenTarget().DeInit(); }

std::vector<std::string> Targets() {
  std::vector<std::string> names;
  for (const int64_t bit : TargetBits()) names.emplace_back(hwy::TargetName(bit));
  return names;
}

Result<Kernels> KernelsFor(std::string_view target) {
  for (const int64_t bit : TargetBits()) {
    if (target != hwy::TargetName(bit)) continue;
    const ScopedTarget scope(bit);
    Kernels kernels;
    kernels.name = fmt::format("cpu ({})", target);
    RegisterElementwise(kernels);
    RegisterLinear(kernels);
    RegisterMoe(kernels);
    RegisterRope(kernels);
    RegisterLightningAttention(kernels);
    RegisterSoftmaxAttention(kernels);
    RegisterRouter(kernels);
    return kernels;
  }
  return Fail(ErrorCode::kUnsupported,
              "the CPU target must be one of {} on this machine, but it is \"{}\"",
              fmt::join(Targets(), ", "), target);
}

}  // namespace fulmen::cpu
