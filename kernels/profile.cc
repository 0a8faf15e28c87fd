#include "kernels/profile.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "kernels/operations.h"

namespace fulmen {

template <class Table>
const Table& Profile::Real() const {
  if constexpr (std::is_same_v<Table, Kernels>) {
    return real_.kernels;
  } else {
    return *real_.training;
  }
}

// Stands in for the kIndex-th operation of a table.
template <class Table, size_t kIndex, class Result, class... Arguments>
Result Profile::Call(KernelContext& context, Arguments... arguments) {
  Profile& profile = static_cast<Context&>(context).profile;
  const Table& real = profile.Real<Table>();
  const auto operation = std::get<kIndex>(OperationsOf(real));
  OperationCost cost = {.name = operation.name, .calls = 1};
  profile.Describe(cost, arguments...);
  struct Timer {
    ~Timer() {
      OperationCost& sum = profile.costs_[cost.name];
      sum.calls += 1;
      sum.seconds += SecondsSince(start);
      sum.flops += cost.flops;
      sum.bytes += cost.bytes;
    }
    Profile& profile;
    const OperationCost& cost;
    const Clock::time_point start = Clock::now();
  };
  const Timer timer{profile, cost};
  return (real.*operation.entry)(profile.real_.context, std::forward<Arguments>(arguments)...);
}

template <class Table, size_t kIndex, class Result, class... Arguments>
void Profile::Replace(Result (*&entry)(KernelContext&, Arguments...)) {
  entry = Call<Table, kIndex, Result, Arguments...>;
}

template <class Table>
void Profile::ReplaceAll(Table& table) {
  constexpr size_t kCount = std::tuple_size_v<decltype(OperationsOf(table))>;
  [&]<size_t... kIndices>(std::index_sequence<kIndices...>) {
    (Replace<Table, kIndices>(table.*std::get<kIndices>(OperationsOf(table)).entry), ...);
  }
  (std::make_index_sequence<kCount>());
}

namespace {

TrainingKernels CopyOf(const Compute& compute) {
  TrainingKernels copy = compute.training != nullptr ? *compute.training : TrainingKernels();
  copy.forward.name = compute.kernels.name;
  return copy;
}

Compute ComputeWith(const Compute& real, const TrainingKernels& timed, KernelContext& context) {
  if (real.training == nullptr) return {timed.forward, context};
  return {timed, context};
}

}  // namespace

Profile::Profile(const Compute& compute, Names names)
    : real_(compute),
      timed_(CopyOf(compute)),
      context_{compute.context, *this},
      compute_(ComputeWith(compute, timed_, context_)),
      names_(std::move(names)) {
  ReplaceAll(timed_.forward);
  if (compute.training != nullptr) ReplaceAll(timed_);
}

std::vector<OperationCost> Profile::Costs() const {
  std::vector<OperationCost> costs;
  for (const auto& [name, cost] : costs_) {
    costs.push_back(cost);
    costs.back().name = name;
  }
  std::ranges::stable_sort(costs, std::ranges::greater(), &OperationCost::seconds);
  return costs;
}

void Profile::AddProduct(const void* weight, int64_t tokens, int64_t rows, int64_t cols,
                         size_t bytes, OperationCost& cost) const {
  cost.flops += 2.0 * static_cast<double>(tokens) * static_cast<double>(rows * cols);
  cost.bytes += static_cast<double>(bytes);
  const auto name = names_.find(weight);
  if (name == names_.end()) return;
  if (cost.name.ends_with(')')) {
    cost.name.back() = ',';
    cost.name += ' ';
  } else {
    cost.name += " (";
  }
  cost.name += name->second + ')';
}

void Profile::Describe(OperationCost& cost, const ConstMatrix& x,
                       const std::initializer_list<Projection>& projections) const {
  for (const auto& [weight, y] : projections) {
    AddProduct(weight.data, x.rows, weight.rows, weight.cols, weight.bytes(), cost);
  }
}

void Profile::Describe(OperationCost& cost, const ConstMatrix& dy, const WeightMatrix& weight,
                       bool /*add*/, const Matrix& /*dx*/) const {
  AddProduct(weight.data, dy.rows, weight.rows, weight.cols, weight.bytes(), cost);
}

void Profile::Describe(OperationCost& cost, const ConstMatrix& x, const ConstMatrix& /*dy*/,
                       const Matrix& dweight) const {
  const auto bytes = static_cast<size_t>(dweight.rows * dweight.cols) * sizeof(float);
  AddProduct(dweight.data, x.rows, dweight.rows, dweight.cols, bytes, cost);
}

void Profile::Describe(OperationCost& cost, const ConstMatrix& /*x*/,
                       const std::span<const ExpertWeights>& expert_weights,
                       const MatrixView<const int32_t>& experts, const ConstMatrix& /*weights*/,
                       const MoeActivations& /*kept*/, const Matrix& /*out*/) const {
  std::vector<int32_t> chosen(static_cast<size_t>(experts.rows * experts.cols));
  const std::span from(experts.data, chosen.size());
  real_.kernels.copy(real_.context, std::as_bytes(from), std::as_writable_bytes(std::span(chosen)));
  std::map<int32_t, int64_t> slots;
  for (const int32_t expert : chosen) {
    if (expert >= 0) ++slots[expert];
  }
  for (const auto& [expert, count] : slots) {
    const ExpertWeights& weights = expert_weights[static_cast<size_t>(expert)];
    for (const WeightMatrix* weight : {&weights.gate, &weights.up, &weights.down}) {
      AddProduct(nullptr, count, weight->rows, weight->cols, weight->bytes(), cost);
    }
  }
}

}  // namespace fulmen
