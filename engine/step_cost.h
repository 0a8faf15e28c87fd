// How long a step will take, learned from the steps before it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace fulmen {

// What a step computes, as far as its time depends on it.
struct StepWork {
  int64_t rows = 0;  // tokens read
  double keys = 0;   // summed over them, the tokens each looks back at

  // `tokens` more of one sequence that has read `position` before.
  void Add(int64_t tokens, int64_t position);
};

// seconds = fixed + row * rows + key * keys, none of them negative: weights are read once, every
// row is multiplied with them, and softmax attention grows with what lies behind. With experts the
// first rows cost more than later ones, so the three hold near some number of rows only.
struct StepRates {
  double fixed = 0;
  double row = 0;
  double key = 0;

  double Seconds(const StepWork& work) const {
    return fixed + row * static_cast<double>(work.rows) + key * work.keys;
  }
};

// Not thread safe.
class StepCost {
 public:
  void Observe(const StepWork& work, double seconds);
  bool known() const { return observed_ > 0; }
  // Least squares of relative errors over the latest steps, of which those count most that had
  // about as many rows. All zero as long as nothing was observed.
  StepRates Near(int64_t rows) const;

 private:
  struct Observation {
    StepWork work;
    double seconds;
  };
  static constexpr size_t kKept = 8;  // steps of each size, a size being a power of two of rows
  std::array<std::deque<Observation>, 24> by_size_;
  int64_t observed_ = 0;
};

}  // namespace fulmen
