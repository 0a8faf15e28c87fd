#include "model/expert_capacity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace fulmen {

ExpertCapacity::ExpertCapacity(double factor, int64_t layers, int64_t experts, Communicator* ranks)
    : factor_(factor), experts_(experts), ranks_(ranks), rooms_(static_cast<size_t>(layers)) {}

Result<std::vector<int64_t>> ExpertCapacity::Room(MatrixView<const int32_t> chosen) const {
  const auto width = static_cast<size_t>(experts_ + 1);
  std::vector<int64_t> mine(width);  // choices of each expert, then tokens
  for (int64_t t = 0; t < chosen.rows; ++t) {
    for (int64_t s = 0; s < chosen.cols; ++s) ++mine[static_cast<size_t>(chosen.row(t)[s])];
  }
  mine.back() = chosen.rows;
  std::vector<int64_t> all = mine;
  size_t rank = 0;
  if (ranks_ != nullptr) {
    all.resize(width * static_cast<size_t>(ranks_->size()));
    rank = static_cast<size_t>(ranks_->rank());
    FULMEN_TRY(ranks_->AllGather(mine, all));
  }
  int64_t tokens = 0;
  for (size_t r = 0; r < all.size() / width; ++r) tokens += all[r * width + width - 1];
  // A factor such as 1.1 is no binary fraction: what it rounds up by must not add a place.
  const double exact =
      factor_ * static_cast<double>(tokens * chosen.cols) / static_cast<double>(experts_);
  const auto capacity = static_cast<int64_t>(std::ceil(exact * (1 - 1e-6)));
  std::vector<int64_t> room(static_cast<size_t>(experts_), capacity);
  for (size_t expert = 0; expert < room.size(); ++expert) {
    for (size_t r = 0; r < rank; ++r) room[expert] -= all[r * width + expert];
  }
  return room;
}

Status ExpertCapacity::Drop(int64_t layer, MatrixView<const int32_t> chosen,
                            MatrixView<int32_t> kept) {
  std::vector<int64_t>& remembered = rooms_[static_cast<size_t>(layer)];
  if (remembered.empty()) {
    FULMEN_ASSIGN(remembered, Room(chosen));
  }
  std::vector<int64_t> room = remembered;
  for (int64_t t = 0; t < chosen.rows; ++t) {
    for (int64_t s = 0; s < chosen.cols; ++s) {
      const int32_t expert = chosen.row(t)[s];
      kept.row(t)[s] = room[static_cast<size_t>(expert)]-- > 0 ? expert : -1;
    }
  }
  return {};
}

}  // namespace fulmen
