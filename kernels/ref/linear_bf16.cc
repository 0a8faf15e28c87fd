#include <vector>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

// A copy rounded to BF16, as float32.
class Rounded {
 public:
  explicit Rounded(ConstMatrix x) : cols_(x.cols) {
    for (int64_t r = 0; r < x.rows; ++r) {
      for (int64_t c = 0; c < x.cols; ++c) Add(x.row(r)[c]);
    }
  }
  explicit Rounded(const WeightMatrix& weight) : cols_(weight.cols) {
    for (const float value : Dequantize(weight)) Add(value);
  }
  int64_t rows() const { return cols_ == 0 ? 0 : static_cast<int64_t>(values_.size()) / cols_; }
  ConstMatrix matrix() const { return {values_.data(), rows(), cols_}; }
  WeightMatrix weight() const { return {values_.data(), DType::kF32, rows(), cols_}; }

 private:
  void Add(float value) { values_.push_back(F32FromBF16(BF16FromF32(value))); }

  std::vector<float> values_;
  int64_t cols_;
};

}  // namespace

void LinearBf16(KernelContext& context, ConstMatrix x,
                std::initializer_list<Projection> projections) {
  const Rounded rounded(x);
  for (const auto& [weight, y] : projections) {
    Linear(context, rounded.matrix(), {{Rounded(weight).weight(), y}});
  }
}

void LinearBackwardInputBf16(KernelContext& context, ConstMatrix dy, const WeightMatrix& weight,
                             bool add, Matrix dx) {
  LinearBackwardInput(context, Rounded(dy).matrix(), Rounded(weight).weight(), add, dx);
}

void LinearBackwardWeightBf16(KernelContext& context, ConstMatrix x, ConstMatrix dy,
                              Matrix dweight) {
  LinearBackwardWeight(context, Rounded(x).matrix(), Rounded(dy).matrix(), dweight);
}

}  // namespace fulmen::ref
