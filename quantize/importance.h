// How much each column of a model's weights counts: the mean square of what it is multiplied with
// over a text. llama.cpp calls the whole an importance matrix.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/input_squares.h"
#include "model/weights.h"

namespace fulmen {

// Of one tensor of a GGUF file, which is one matrix or one for each expert.
struct ImportanceEntry {
  std::vector<float> sums;    // of squares, [matrices, cols] end to end
  std::vector<float> counts;  // of tokens summed, of each matrix or of all alike

  int64_t cols() const { return std::ssize(sums) / std::ssize(counts); }
};

struct ImportanceMatrix {
  std::string file;                   // it was read from; empty where it was not
  std::vector<std::string> datasets;  // the texts it is of, by name
  int64_t chunks = 0;                 // that the texts were read in
  int64_t chunk_size = 0;             // tokens of each; 0 where it is not known
  std::map<std::string, ImportanceEntry, std::less<>> entries;  // by the tensor's name in GGUF

  bool empty() const { return entries.empty(); }
};

// What was summed while the model read a text; without entries of tensors that no token reached.
ImportanceMatrix MakeImportance(const Model& model, const InputSquares& squares);

// One number per column of matrix `index` of `matrices`; none where all columns count alike:
// without an entry, or where no token reached the matrix. The entry fits, see CheckImportance().
std::vector<float> ImportanceOf(const ImportanceMatrix& importance, const std::string& tensor,
                                int64_t index, int64_t matrices);

// Fails for an entry of another shape than the model's tensor, and where no tensor has an entry.
Status CheckImportance(const ImportanceMatrix& importance, const Model& model);

// What of a model counts alike for want of numbers: tensors without an entry, and how many experts
// some matrix of which no token reached.
struct ImportanceGaps {
  std::vector<std::string> tensors;
  int64_t experts = 0;
};
ImportanceGaps FindGaps(const ImportanceMatrix& importance, const Model& model);

}  // namespace fulmen
