#include "quantize/importance.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace fulmen {
namespace {

// Tensors of the model's GGUF file that may be quantized, and how many matrices each has.
struct Factor {
  const TensorRow* row;
  int64_t layer;
  int64_t matrices;
  std::string name;
};

std::vector<Factor> Factors(const Config& config) {
  std::vector<Factor> factors;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.in_vision()) return;
    const bool vector = TensorShape(row, config).size() < 2;
    const bool looked_up = row.Is(&ModelWeights::token_embedding) && !config.tied_embeddings;
    if (expert > 0 || vector || looked_up || row.Is(&LayerWeights::router)) return;
    factors.push_back({&row, layer, row.per_expert() ? config.experts : 1,
                       TensorName(row.gguf.name, layer, expert)});
  });
  return factors;
}

}  // namespace

ImportanceMatrix MakeImportance(const Model& model, const InputSquares& squares) {
  ImportanceMatrix importance;
  for (const Factor& factor : Factors(model.config)) {
    ImportanceEntry entry;
    for (int64_t i = 0; i < factor.matrices; ++i) {
      const ColumnSquares* sums = squares.Find(*factor.row, factor.layer, i);
      entry.counts.push_back(static_cast<float>(sums->tokens));
      for (const double sum : sums->squares) {
        entry.sums.push_back(
            static_cast<float>(std::min(sum, double{std::numeric_limits<float>::max()})));
      }
    }
    if (*std::ranges::max_element(entry.counts) == 0) continue;
    importance.entries.emplace(factor.name, std::move(entry));
  }
  return importance;
}

std::vector<float> ImportanceOf(const ImportanceMatrix& importance, const std::string& tensor,
                                int64_t index, int64_t matrices) {
  const auto found = importance.entries.find(tensor);
  if (found == importance.entries.end()) return {};
  const ImportanceEntry& entry = found->second;
  const float count = entry.counts[entry.counts.size() == 1 ? 0 : static_cast<size_t>(index)];
  if (count == 0) return {};
  const int64_t cols = std::ssize(entry.sums) / matrices;
  std::vector<float> mean(entry.sums.begin() + index * cols,
                          entry.sums.begin() + (index + 1) * cols);
  for (float& value : mean) value /= count;
  return mean;
}

Status CheckImportance(const ImportanceMatrix& importance, const Model& model) {
  const std::string& where = importance.file;
  size_t fitting = 0;
  for (const Factor& factor : Factors(model.config)) {
    const auto found = importance.entries.find(factor.name);
    if (found == importance.entries.end()) continue;
    const ImportanceEntry& entry = found->second;
    const int64_t expected = factor.matrices * TensorShape(*factor.row, model.config).back();
    if (std::ssize(entry.sums) != expected) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: tensor \"{}\" of the model has {} columns in all, the importance matrix {}",
                  where, factor.name, expected, entry.sums.size());
    }
    if (entry.counts.size() != 1 && std::ssize(entry.counts) != factor.matrices) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: tensor \"{}\" of the model has {} matrices, the importance matrix counts "
                  "the tokens of {}",
                  where, factor.name, factor.matrices, entry.counts.size());
    }
    ++fitting;
  }
  if (fitting > 0) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{}: none of the {} tensors of the importance matrix is one of the model", where,
              importance.entries.size());
}

ImportanceGaps FindGaps(const ImportanceMatrix& importance, const Model& model) {
  ImportanceGaps gaps;
  std::set<std::pair<int64_t, int64_t>> unreached;  // layer and expert
  for (const Factor& factor : Factors(model.config)) {
    const auto found = importance.entries.find(factor.name);
    if (found == importance.entries.end()) {
      gaps.tensors.push_back(factor.name);
      continue;
    }
    for (int64_t i = 0; i < std::ssize(found->second.counts); ++i) {
      if (found->second.counts[static_cast<size_t>(i)] == 0) unreached.emplace(factor.layer, i);
    }
  }
  gaps.experts = std::ssize(unreached);
  return gaps;
}

}  // namespace fulmen
