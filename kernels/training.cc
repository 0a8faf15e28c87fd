#include "kernels/training.h"

#include <cstdlib>
#include <string>

#include "kernels/cpu/register_training.h"

namespace fulmen {
namespace {

Result<TrainingKernels> ChooseCpuTrainingKernels(Precision precision) {
  FULMEN_ASSIGN(const Kernels* kernels, CpuKernels());
  // The name is "cpu (TARGET)".
  const size_t open = kernels->name.find('(');
  const size_t close = kernels->name.find(')');
  FULMEN_CHECK(open != std::string::npos && close != std::string::npos,
               "the cpu kernels are called \"{}\"", kernels->name);
  return cpu::TrainingKernelsFor(std::string_view(kernels->name).substr(open + 1, close - open - 1),
                                 precision);
}

}  // namespace

Result<const TrainingKernels*> CpuTrainingKernels(Precision precision) {
  static const Result<TrainingKernels> float32 = ChooseCpuTrainingKernels(Precision::kFloat32);
  static const Result<TrainingKernels> bfloat16 = ChooseCpuTrainingKernels(Precision::kBFloat16);
  const Result<TrainingKernels>& kernels = precision == Precision::kFloat32 ? float32 : bfloat16;
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
