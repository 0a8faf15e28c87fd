// The instruction sets this build holds code for and this processor can run: one list and one
// choice for every folder that is compiled once per instruction set (fulmen_instruction_sets in
// CMake).
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fulmen::cpu {

// Best first, e.g. {"AVX3_AMX", "AVX3_DL", "AVX3", "AVX2_VNNI", "AVX2", "SSE4"}. Empty when the
// processor is older than all. AVX3_AMX are the kernels of AVX3_DL with AMX's products of bytes
// and of BF16, and AVX2_VNNI those of AVX2 with AVX-VNNI's: the same bits as without, but where
// weights are BF16. On ARM: {"NEON_DOTPROD", "NEON"}, the second with the same bits and without
// NEON's dot products, which are an extension.
std::vector<std::string> Targets();
// FULMEN_CPU_TARGET, or the best. Fails when that is not one of Targets(), or there are none.
Result<std::string> ChosenTarget();
// What a target of ours adds to one of Highway's.
enum class TargetExtension : uint8_t { kNone, kAvxVnni, kAmx, kDotProd };
struct Target {
  std::string name;
  int64_t bit;  // Highway's
  TargetExtension extension;
};
// One of Targets().
Result<Target> FindTarget(std::string_view name);

// While it lives, HWY_DYNAMIC_DISPATCH chooses the best target of the mask `targets`. Highway keeps
// the choice in one process-wide variable, so scopes of several threads wait for each other.
class ScopedTarget {
 public:
  explicit ScopedTarget(int64_t targets);
  ~ScopedTarget();
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace fulmen::cpu
