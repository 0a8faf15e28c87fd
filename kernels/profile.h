// Where the time goes: tables of operations that time every call of another table's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/compute.h"

namespace fulmen {

// What all calls of one operation took; products with other weights are another one.
struct OperationCost {
  std::string name;  // that of the table, of a product with its weights: "linear (q_proj, k_proj)"
  int64_t calls = 0;
  double seconds = 0;
  // Of products with weights alone, else 0: a multiply-add counts two, each weight is read once a
  // call. Experts that no token chose are not read.
  double flops = 0;
  double bytes = 0;
};

// Not movable: its compute() points into it.
class Profile {
 public:
  // Names of matrices, of weights or of gradients, by where their data lies.
  using Names = std::unordered_map<const void*, std::string>;

  Profile(const Compute& compute, Names names);
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // The same operations on the same device, timed. For one call at a time, as contexts are.
  const Compute& compute() const { return compute_; }

  // What was called since the last Clear(), by falling time.
  std::vector<OperationCost> Costs() const;
  void Clear() { costs_.clear(); }

 private:
  // How an operation that stands in for another finds its way back.
  struct Context : KernelContext {
    Profile& profile;
  };
  template <class Table>
  const Table& Real() const;
  template <class Table, size_t kIndex, class Result, class... Arguments>
  static Result Call(KernelContext& context, Arguments... arguments);
  template <class Table, size_t kIndex, class Result, class... Arguments>
  static void Replace(Result (*&entry)(KernelContext&, Arguments...));
  template <class Table>
  static void ReplaceAll(Table& table);

  // Adds a product's weight to the name and to what it costs.
  void AddProduct(const void* weight, int64_t tokens, int64_t rows, int64_t cols, size_t bytes,
                  OperationCost& cost) const;
  // What a call costs besides time, by its arguments; nothing where these are no product's.
  template <class... Arguments>
  void Describe(OperationCost& /*cost*/, const Arguments&... /*arguments*/) const {}
  void Describe(OperationCost& cost, const ConstMatrix& x,
                const std::initializer_list<Projection>& projections) const;
  void Describe(OperationCost& cost, const ConstMatrix& dy, const WeightMatrix& weight, bool add,
                const Matrix& dx) const;
  void Describe(OperationCost& cost, const ConstMatrix& x, const ConstMatrix& dy,
                const Matrix& dweight) const;
  void Describe(OperationCost& cost, const ConstMatrix& x,
                const std::span<const ExpertWeights>& expert_weights,
                const MatrixView<const int32_t>& experts, const ConstMatrix& weights,
                const MoeActivations& kept, const Matrix& out) const;

  const Compute real_;
  TrainingKernels timed_;
  Context context_;
  Compute compute_;
  const Names names_;
  std::map<std::string, OperationCost> costs_;
};

}  // namespace fulmen
