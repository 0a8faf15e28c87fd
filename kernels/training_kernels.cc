#include "kernels/training_kernels.h"

#include <string>

#include "kernels/cpu/targets.h"
#include "kernels/self_check.h"

namespace fulmen {
namespace {

Result<TrainingKernels> ChooseCpuTrainingKernels(Precision precision) {
  FULMEN_ASSIGN(const Kernels* kernels, CpuKernels());
  FULMEN_ASSIGN(const std::string target, cpu::ChosenTarget());
  FULMEN_ASSIGN(const TrainingKernels training, cpu::TrainingKernelsFor(target, precision));
  FULMEN_TRY(SelfCheck(training, precision, kernels->name + " training"));
  return training;
}

// Chosen and checked once, where it is asked for.
template <Precision kPrecision>
const Result<TrainingKernels>& ChosenCpuTrainingKernels() {
  static const Result<TrainingKernels> kernels = ChooseCpuTrainingKernels(kPrecision);
  return kernels;
}

}  // namespace

Result<const TrainingKernels*> CpuTrainingKernels(Precision precision) {
  const Result<TrainingKernels>& kernels = precision == Precision::kFloat32
                                               ? ChosenCpuTrainingKernels<Precision::kFloat32>()
                                               : ChosenCpuTrainingKernels<Precision::kBFloat16>();
  if (!kernels) return tl::unexpected<Error>(kernels.error());
  return &*kernels;
}

Result<const TrainingKernels*> SelectTrainingKernels(std::string_view name, Precision precision) {
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(name));
  if (kernels == &RefKernels()) return &RefTrainingKernels(precision);
  return CpuTrainingKernels(precision);
}

Result<Precision> PrecisionFromName(std::string_view name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBFloat16;
  return Fail(ErrorCode::kInvalidArgument,
              "the precision must be float32 or bfloat16, but it is \"{}\"", name);
}

}  // namespace fulmen
