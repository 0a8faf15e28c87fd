#include "quantize/folder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>
#include <vector>

#include "base/check.h"
#include "quantize/encode.h"
#include "tokenizer/tokenizer_tables.h"
#include "tokenizer/tokenizer_writer.h"

namespace fulmen {
namespace {

constexpr int64_t kTaskValues = int64_t{1} << 16;  // made by one thread at a time

// Elements of matrices as a float type, with the threads of a pool.
class Widener {
 public:
  explicit Widener(ThreadPool& pool) : pool_(pool), rows_(static_cast<size_t>(pool.size())) {}

  // Elements [first, first + count) of `from`, row after row. False where one is not finite.
  bool Write(const WeightMatrix& from, DType type, int64_t first, int64_t count, std::byte* out) {
    std::atomic<bool> finite = true;
    pool_.ParallelFor((count + kTaskValues - 1) / kTaskValues, [&](int64_t task, int worker) {
      std::vector<float>& row = rows_[static_cast<size_t>(worker)];
      row.resize(static_cast<size_t>(from.cols));
      const int64_t end = std::min(count, (task + 1) * kTaskValues);
      for (int64_t i = task * kTaskValues; i < end;) {
        const int64_t column = (first + i) % from.cols;
        const int64_t part = std::min(end - i, from.cols - column);
        DequantizeRow(from, (first + i) / from.cols, row.data());
        const float* values = row.data() + column;
        if (!std::all_of(values, values + part, [](float v) { return std::isfinite(v); })) {
          finite = false;
        }
        QuantizeRows(type, values, 1, part, {}, out + static_cast<size_t>(i) * DTypeSize(type));
        i += part;
      }
    });
    return finite;
  }

 private:
  ThreadPool& pool_;
  std::vector<std::vector<float>> rows_;  // by worker
};

std::string GenerationConfigJson(const Model& model, std::optional<int32_t> bos_id) {
  Json json = Json::object();
  if (bos_id) json["bos_token_id"] = *bos_id;
  if (!model.config.eos_ids.empty()) json["eos_token_id"] = model.config.eos_ids;
  if (!model.unused_ids.empty()) json["suppress_tokens"] = model.unused_ids;
  return json.dump(2) + "\n";
}

}  // namespace

Result<FolderPlan> PlanFolder(const ModelFiles& gguf, const Model& model, DType type) {
  FULMEN_CHECK(gguf.gguf(), "{} is a folder already", gguf.path());
  FolderPlan plan;
  plan.config = model.config;
  plan.contents.dtype = type;
  plan.contents.router_dtype = DType::kF32;
  // GGUF tells none of the authors' models from another; all are computed alike.
  plan.config.architecture = "MiniMaxText01ForCausalLM";
  std::optional<int32_t> bos_id;
  FULMEN_ASSIGN(const TokenizerSource source, gguf.ReadTokenizer());
  if (gguf.gguf()->header().Find("tokenizer.ggml.model") != nullptr) {
    FULMEN_ASSIGN(const TokenizerTables tables,
                  ReadTokenizerTables(source, model.config.vocab_size));
    FULMEN_ASSIGN(plan.contents.beside, TokenizerFilesOf(tables, gguf.path()));
    bos_id = tables.bos_id;
  }
  plan.contents.beside["generation_config.json"] = GenerationConfigJson(model, bos_id);
  return plan;
}

Status WriteFolder(const Model& model, const FolderPlan& plan, const std::string& folder,
                   ThreadPool& pool, const std::function<bool(size_t)>& progress) {
  Widener widener(pool);
  const auto fill = [&](const TensorInstance& tensor, DType type, int64_t first, int64_t count,
                        std::byte* out) -> Status {
    const WeightMatrix& from =
        TensorAt<WeightMatrix>(model.weights, *tensor.row, tensor.layer, tensor.expert);
    if (widener.Write(from, type, first, count, out)) return {};
    return Fail(ErrorCode::kCorrupt, "tensor \"{}\" holds a weight that is not finite",
                TensorName(tensor.row->gguf.name, tensor.layer, tensor.expert));
  };
  return WriteModelFiles(plan.config, plan.contents, fill, folder, progress);
}

}  // namespace fulmen
