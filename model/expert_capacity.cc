#include "model/expert_capacity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace fulmen {

ExpertCapacity::ExpertCapacity(double factor, int64_t layers, int64_t experts,
                               const CapacityStep& step)
    : factor_(factor), experts_(experts), step_(step), rooms_(static_cast<size_t>(layers)) {
  FULMEN_CHECK(step.choices.empty() || std::ssize(step.choices) == layers * experts,
               "{} counts of {} layers of {} experts", step.choices.size(), layers, experts);
}

Result<std::vector<int64_t>> ExpertCapacity::Room(int64_t layer,
                                                  MatrixView<const int32_t> chosen) const {
  const auto experts = static_cast<size_t>(experts_);
  std::vector<int64_t> mine(experts);
  for (int64_t t = 0; t < chosen.rows; ++t) {
    for (int64_t s = 0; s < chosen.cols; ++s) ++mine[static_cast<size_t>(chosen.row(t)[s])];
  }
  std::vector<int64_t> all = mine;
  size_t rank = 0;
  if (step_.ranks != nullptr) {
    all.resize(experts * static_cast<size_t>(step_.ranks->size()));
    rank = static_cast<size_t>(step_.ranks->rank());
    FULMEN_TRY(step_.ranks->AllGather(mine, all));
  }
  // A factor such as 1.1 is no binary fraction: what it rounds up by must not add a place.
  const double exact =
      factor_ * static_cast<double>(step_.tokens * chosen.cols) / static_cast<double>(experts_);
  const auto capacity = static_cast<int64_t>(std::ceil(exact * (1 - 1e-6)));
  std::vector<int64_t> room(experts, capacity);
  for (size_t expert = 0; expert < experts; ++expert) {
    for (size_t r = 0; r < rank; ++r) room[expert] -= all[r * experts + expert];
    if (step_.choices.empty()) continue;
    int64_t& taken = step_.choices[static_cast<size_t>(layer) * experts + expert];
    room[expert] -= taken;
    for (size_t i = expert; i < all.size(); i += experts) taken += all[i];
  }
  return room;
}

Status ExpertCapacity::Drop(int64_t layer, MatrixView<const int32_t> chosen,
                            MatrixView<int32_t> kept) {
  std::vector<int64_t>& remembered = rooms_[static_cast<size_t>(layer)];
  const bool first_time = remembered.empty();
  if (first_time) {
    FULMEN_ASSIGN(remembered, Room(layer, chosen));
  }
  std::vector<int64_t> room = remembered;
  for (int64_t t = 0; t < chosen.rows; ++t) {
    for (int64_t s = 0; s < chosen.cols; ++s) {
      const int32_t expert = chosen.row(t)[s];
      const bool keep = room[static_cast<size_t>(expert)]-- > 0;
      kept.row(t)[s] = keep ? expert : -1;
      if (first_time && !keep) ++dropped_;
    }
  }
  return {};
}

}  // namespace fulmen
