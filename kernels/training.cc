#include "kernels/training.h"

#include <cstdlib>
#include <string>

#include "kernels/cpu/register_training.h"

namespace fulmen {
namespace {

Result<TrainingKernels> ChooseCpuTrainingKernels() {
  FULMEN_ASSIGN(const Kernels* kernels, CpuKernels());
  // The name is "cpu (TARGET)".
  const size_t open = kernels->name.find('(');
  const size_t close = kernels->name.find(')');
  FULMEN_CHECK(open != std::string::npos && close != std::string::npos,
               "the cpu kernels are called \"{}\"", kernels->name);
  return cpu::TrainingKernelsFor(
      std::string_view(kernels->name).substr(open + 1, close - open - 1));
}

}  // namespace

Result<const TrainingKernels*> CpuTrainingKernels() {
  static const Result<TrainingKernels> kernels = ChooseCpuTrainingKernels();
  if (!kernels) return tl::unexpected<Error>(kernels.error());
  return &*kernels;
}

Result<const TrainingKernels*> SelectTrainingKernels(std::string_view name) {
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(name));
  if (kernels == &RefKernels()) return &RefTrainingKernels();
  return CpuTrainingKernels();
}

}  // namespace fulmen
