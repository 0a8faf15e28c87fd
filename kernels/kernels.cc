#include "kernels/kernels.h"

#include <cstdlib>

#include "kernels/cpu/targets.h"
#include "kernels/self_check.h"

namespace fulmen {
namespace {

Result<Kernels> ChooseCpuKernels() {
  FULMEN_ASSIGN(const std::string target, cpu::ChosenTarget());
  FULMEN_ASSIGN(Kernels kernels, cpu::KernelsFor(target));
  FULMEN_TRY(SelfCheck(kernels));
  return kernels;
}

}  // namespace

Result<const Kernels*> CpuKernels() {
  static const Result<Kernels> kernels = ChooseCpuKernels();
  if (!kernels) return tl::unexpected<Error>(kernels.error());
  return &*kernels;
}

Result<const Kernels*> SelectKernels(std::string_view name) {
  if (const char* wanted = std::getenv("FULMEN_KERNELS"); name.empty() && wanted != nullptr) {
    name = wanted;
  }
  if (name.empty() || name == "cpu") return CpuKernels();
  if (name == "ref") return &RefKernels();
  return Fail(ErrorCode::kInvalidArgument, "the kernels must be \"cpu\" or \"ref\", not \"{}\"",
              name);
}

}  // namespace fulmen
