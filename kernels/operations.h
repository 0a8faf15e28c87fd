// Every operation of the two tables with its name, for whoever must pass over none of them. An
// entry that is not listed here does not compile.
#pragma once

#include <string>
#include <string_view>
#include <tuple>

#include "base/check.h"
#include "kernels/kernels.h"
#include "kernels/training_kernels.h"

namespace fulmen {

template <class Table, class Function>
struct Operation {
  const char* name;
  Function Table::*entry;
};

// Clang 14 deduces no aggregate by itself.
template <class Table, class Function>
Operation(const char*, Function Table::*) -> Operation<Table, Function>;

constexpr auto OperationsOf(const Kernels& /*table*/) {
  const std::tuple operations{
      Operation{"embedding", &Kernels::embedding},
      Operation{"rms_norm", &Kernels::rms_norm},
      Operation{"gated_rms_norm", &Kernels::gated_rms_norm},
      Operation{"layer_norm", &Kernels::layer_norm},
      Operation{"add_bias", &Kernels::add_bias},
      Operation{"bias_gelu", &Kernels::bias_gelu},
      Operation{"residual", &Kernels::residual},
      Operation{"row_health", &Kernels::row_health},
      Operation{"gather_rows", &Kernels::gather_rows},
      Operation{"copy", &Kernels::copy},
      Operation{"linear", &Kernels::linear},
      Operation{"router_logits", &Kernels::router_logits},
      Operation{"repacked_bytes", &Kernels::repacked_bytes},
      Operation{"repack", &Kernels::repack},
      Operation{"rope", &Kernels::rope},
      Operation{"lightning_attention", &Kernels::lightning_attention},
      Operation{"lightning_state", &Kernels::lightning_state},
      Operation{"store_kv", &Kernels::store_kv},
      Operation{"softmax_attention", &Kernels::softmax_attention},
      Operation{"bidirectional_attention", &Kernels::bidirectional_attention},
      Operation{"top_k_router", &Kernels::top_k_router},
      Operation{"moe", &Kernels::moe},
  };
  static_assert(sizeof(Kernels) ==
                    sizeof(std::string) + std::tuple_size_v<decltype(operations)> * sizeof(MoeFn),
                "an operation of Kernels is not listed");
  return operations;
}

// Without those of its forward table.
constexpr auto OperationsOf(const TrainingKernels& /*table*/) {
  using K = TrainingKernels;
  const std::tuple operations{
      Operation{"rms_norm_backward", &K::rms_norm_backward},
      Operation{"gated_rms_norm_backward", &K::gated_rms_norm_backward},
      Operation{"layer_norm_backward", &K::layer_norm_backward},
      Operation{"add_bias_backward", &K::add_bias_backward},
      Operation{"bias_gelu_backward", &K::bias_gelu_backward},
      Operation{"embedding_backward", &K::embedding_backward},
      Operation{"linear_backward_input", &K::linear_backward_input},
      Operation{"linear_backward_weight", &K::linear_backward_weight},
      Operation{"router_backward_input", &K::router_backward_input},
      Operation{"router_backward_weight", &K::router_backward_weight},
      Operation{"lightning_attention_backward", &K::lightning_attention_backward},
      Operation{"softmax_attention_backward", &K::softmax_attention_backward},
      Operation{"bidirectional_attention_backward", &K::bidirectional_attention_backward},
      Operation{"top_k_router_backward", &K::top_k_router_backward},
      Operation{"router_statistics", &K::router_statistics},
      Operation{"router_loss_backward", &K::router_loss_backward},
      Operation{"moe_backward", &K::moe_backward},
      Operation{"cross_entropy", &K::cross_entropy},
      Operation{"adamw", &K::adamw},
      Operation{"squared_norm", &K::squared_norm},
  };
  static_assert(
      sizeof(K) == sizeof(Kernels) + std::tuple_size_v<decltype(operations)> * sizeof(MoeFn),
      "an operation of TrainingKernels is not listed");
  return operations;
}

// visit(name, entry) for each; the entry can be written to where the table can.
template <class Table, class Visit>
void ForEachOperation(Table& table, const Visit& visit) {
  std::apply(
      [&](const auto&... operation) { (visit(operation.name, table.*operation.entry), ...); },
      OperationsOf(table));
}

// A table that was filled file by file has all its entries.
template <class Table>
void CheckComplete(const Table& table, std::string_view name) {
  ForEachOperation(table, [&](const char* operation, const auto& entry) {
    FULMEN_CHECK(entry != nullptr, "the {} kernels have no {}", name, operation);
  });
}

}  // namespace fulmen
