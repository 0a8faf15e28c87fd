#include "train/gradients.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "formats/safetensors.h"

namespace fulmen {
namespace {

struct Kind {
  std::string name;
  PackedBatch batch;
};

Result<std::vector<int32_t>> ParseDocument(const Json& json, const Config& config,
                                           const std::string& where) {
  if (!json.is_array() || json.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected a document, a list of at least one token id", where);
  }
  std::vector<int32_t> ids;
  for (const Json& id : json) {
    const std::optional<int64_t> token = IntegerIn(id, 0, config.vocab_size - 1);
    if (!token) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: entry {} is {}, expected a token id from 0 to {}", where, ids.size(),
                  Shown(id), config.vocab_size - 1);
    }
    ids.push_back(static_cast<int32_t>(*token));
  }
  return ids;
}

Result<std::vector<Kind>> ParseBatches(const Json& json, const Config& config,
                                       const std::string& where) {
  if (!json.is_object() || json.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected an object of kinds, each a list of rows",
                where);
  }
  std::vector<Kind> kinds;
  for (const auto& [name, rows] : json.items()) {
    Kind kind{name, {}};
    if (!rows.is_array()) {
      return Fail(ErrorCode::kInvalidArgument, "{}: {}: expected a list of rows", where, name);
    }
    for (size_t row = 0; row < rows.size(); ++row) {
      if (!rows[row].is_array()) {
        return Fail(ErrorCode::kInvalidArgument, "{}: {}: row {} should be a list of documents",
                    where, name, row);
      }
      for (const Json& document : rows[row]) {
        FULMEN_ASSIGN(
            const std::vector<int32_t> ids,
            ParseDocument(document, config, fmt::format("{}: {}: row {}", where, name, row)));
        kind.batch.Add(ids);
      }
    }
    if (kind.batch.PredictedTokens() == 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: {}: no document has two tokens, so nothing is predicted", where, name);
    }
    kinds.push_back(std::move(kind));
  }
  return kinds;
}

Status WriteAll(SafetensorsWriter& writer, const Parameters& parameters) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    FULMEN_TRY(writer.Write(std::as_bytes(parameters.values(i))));
  }
  return {};
}

std::vector<SafetensorsWriter::Declaration> Declare(const std::vector<Kind>& kinds,
                                                    const Config& config, int64_t steps) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const Kind& kind : kinds) {
    for (const std::string& what : {std::string("grad"), fmt::format("after{}", steps)}) {
      for (const TensorInstance& tensor : ExpectedTensors(config)) {
        declarations.push_back(
            {fmt::format("{}.{}.{}", kind.name, what, tensor.name), DType::kF32, tensor.shape});
      }
    }
  }
  return declarations;
}

}  // namespace

Result<Json> CheckGradients(const Model& model, const Compute& compute, const Json& batches,
                            const std::string& where, const GradientOptions& options,
                            const std::string& path) {
  const Config& config = model.config;
  FULMEN_ASSIGN(const std::vector<Kind> kinds, ParseBatches(batches, config, where));
  FULMEN_ASSIGN(SafetensorsWriter writer,
                SafetensorsWriter::Create(path, Declare(kinds, config, options.steps)));
  Json report = Json::object();
  for (const Kind& kind : kinds) {
    Parameters weights(config, model.weights);
    Optimizer optimizer(config);
    Json& steps = report[kind.name] = Json::array();
    for (int64_t step = 0; step < options.steps; ++step) {
      Parameters gradients(config);
      FULMEN_ASSIGN(const Losses losses,
                    ForwardBackward(config, weights.AsWeights(config), compute, kind.batch,
                                    options.loss, gradients.AsGradients(config)));
      if (step == 0) FULMEN_TRY(WriteAll(writer, gradients));
      const double norm = GlobalNorm(compute, gradients);
      if (!std::isfinite(norm)) {
        return Fail(ErrorCode::kNonFinite,
                    "{}: {}: step {}: the norm of the gradients is not finite", where, kind.name,
                    step);
      }
      optimizer.Step(options.optimizer, compute, gradients, norm, weights);
      steps.push_back({{"cross_entropy", losses.cross_entropy},
                       {"auxiliary", losses.auxiliary},
                       {"loss", losses.total},
                       {"gradient_norm", norm},
                       {"predicted_tokens", kind.batch.PredictedTokens()}});
    }
    FULMEN_TRY(WriteAll(writer, weights));
  }
  FULMEN_TRY(writer.Finish());
  return report;
}

}  // namespace fulmen
