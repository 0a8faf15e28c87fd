#include "kernels/cpu/targets.h"

#include <fmt/ranges.h>
#include <hwy/highway.h>

#include <cstdlib>

#include "kernels/cpu/register.h"
#include "kernels/cpu/register_training.h"
#include "kernels/operations.h"

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

Result<int64_t> TargetBit(std::string_view name) {
  for (const int64_t bit : TargetBits()) {
    if (name == hwy::TargetName(bit)) return bit;
  }
  return Fail(ErrorCode::kUnsupported,
              "the CPU target must be one of {} on this machine, but it is \"{}\"",
              fmt::join(Targets(), ", "), name);
}

Result<std::string> ChosenTarget() {
  const char* wanted = std::getenv("FULMEN_CPU_TARGET");
  if (wanted != nullptr && *wanted != '\0') {
    const Result<int64_t> bit = TargetBit(wanted);
    if (!bit) return Fail(bit.error().code, "FULMEN_CPU_TARGET: {}", bit.error().message);
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

Result<Kernels> KernelsFor(std::string_view target) {
  FULMEN_ASSIGN(const int64_t bit, TargetBit(target));
  const ScopedTarget scope(bit);
  Kernels kernels;
  kernels.name = fmt::format("cpu ({})", target);
  RegisterElementwise(kernels);
  RegisterLinear(kernels);
  RegisterRepack(kernels);
  RegisterMoe(kernels);
  RegisterRope(kernels);
  RegisterLightningAttention(kernels);
  RegisterKvCache(kernels);
  RegisterSoftmaxAttention(kernels);
  RegisterRouter(kernels);
  CheckComplete(kernels, kernels.name);
  return kernels;
}

Result<TrainingKernels> TrainingKernelsFor(std::string_view target, Precision precision) {
  FULMEN_ASSIGN(const int64_t bit, TargetBit(target));
  TrainingKernels kernels;
  FULMEN_ASSIGN(kernels.forward, KernelsFor(target));
  const ScopedTarget scope(bit);
  RegisterLightningAttentionBackward(kernels);
  RegisterSoftmaxAttentionBackward(kernels);
  RegisterElementwiseBackward(kernels);
  RegisterRouterBackward(kernels);
  RegisterAdamW(kernels);
  RegisterLinearBackward(kernels, precision);
  RegisterMoeTraining(kernels, precision);
  RegisterMoeBackward(kernels, precision);
  RegisterCrossEntropy(kernels, precision);
  CheckComplete(kernels, fmt::format("cpu ({}) training", target));
  return kernels;
}

}  // namespace fulmen::cpu
