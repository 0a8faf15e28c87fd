#include "kernels/kernels.h"

#include <cstdlib>

#include "kernels/cpu/targets.h"
#include "kernels/self_check.h"

namespace fulmen {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Result<Kernels> ChooseCpuKernels() {
  std::string target = Environment("FULMEN_CPU_TARGET");
  if (target.empty()) {
    const std::vector<std::string> available = cpu::Targets();
    if (available.empty()) {
      return Fail(ErrorCode::kUnsupported,
                  "this processor has none of the instruction sets the cpu kernels are built for; "
                  "the ref kernels (FULMEN_KERNELS=ref) run anywhere");
    }
    target = available.front();
  }
  auto kernels = cpu::KernelsFor(target);
  if (!kernels) {
    return Fail(kernels.error().code, "FULMEN_CPU_TARGET: {}", kernels.error().message);
  }
  FULMEN_TRY(SelfCheck(*kernels));
  return kernels;
}

}  // namespace

Result<const Kernels*> CpuKernels() {
  static const Result<Kernels> kernels = ChooseCpuKernels();
  if (!kernels) return tl::unexpected<Error>(kernels.error());
  return &*kernels;
}

Result<const Kernels*> SelectKernels(std::string_view name) {
  const std::string from_environment = Environment("FULMEN_KERNELS");
  if (name.empty()) name = from_environment;
  if (name.empty() || name == "cpu") return CpuKernels();
  if (name == "ref") return &RefKernels();
  return Fail(ErrorCode::kInvalidArgument, "the kernels must be \"cpu\" or \"ref\", not \"{}\"",
              name);
}

}  // namespace fulmen
