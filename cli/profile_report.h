// Where the time of measured work went, operation by operation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "kernels/profile.h"
#include "model/weights.h"

namespace fulmen {

struct ProfileReport {
  std::vector<OperationCost> costs;
  double seconds = 0;  // of all the work, operations or not
  int64_t units = 0;   // what it consisted of: prompts, steps
  // What the machine can do, on average over the work.
  double peak = 0;            // of arithmetic, in operations per second
  double read_bandwidth = 0;  // bytes per second; 0 where it was not measured
};

// A table by falling time; `unit` reads like "step", `arithmetic` names the peak.
void PrintProfile(const ProfileReport& report, const std::string& title, const std::string& unit,
                  const std::string& arithmetic);
Json ToJson(const ProfileReport& report);

// What `weights` are called in the authors' checkpoints, without layers: "qkv_proj".
template <class Tensor>
Profile::Names TensorNames(const Config& config, const ModelTensors<Tensor>& tensors) {
  Profile::Names names;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    std::string_view name = row.original.name;
    name = name.substr(0, name.rfind(".weight"));
    names[TensorAt(tensors, row, layer, expert).data] = name.substr(name.rfind('.') + 1);
  });
  return names;
}

}  // namespace fulmen
