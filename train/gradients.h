// Gradients and a few optimizer steps of any model on given batches, for checking against a
// reference.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "kernels/compute.h"
#include "model/training.h"
#include "model/weights.h"
#include "train/optimizer.h"

namespace fulmen {

struct GradientOptions {
  int64_t steps = 3;
  // As the reference results are made.
  OptimizerOptions optimizer = {.epsilon = 1e-6, .no_decay = {}, .clip = 0.5};
  LossOptions loss;
};

// `batches` is {KIND: [row, …]}, a row a list of documents, a document a list of ids; `where` names
// it in errors. Each kind begins with the model's weights, widened to float32, and takes
// options.steps steps, every one on all of its rows. Writes `path`: KIND.grad.TENSOR, the gradients
// of the first step before clipping, and KIND.afterN.TENSOR, the weights after the N steps. Returns
// {KIND: [{cross_entropy, auxiliary, loss, gradient_norm, predicted_tokens} per step]}.
Result<Json> CheckGradients(const Model& model, const Compute& compute, const Json& batches,
                            const std::string& where, const GradientOptions& options,
                            const std::string& path);

}  // namespace fulmen
