#include "engine/generate.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "base/check.h"

namespace fulmen {

namespace {

// Gathers the events of one request.
class Gatherer {
 public:
  explicit Gatherer(const GenerateHooks& hooks) : hooks_(hooks) {}

  void operator()(const PromptProgress& progress) {
    if (hooks_.on_prompt_read) hooks_.on_prompt_read(progress);
  }
  void operator()(const TokenSampled&) {
    if (hooks_.on_token) hooks_.on_token();
  }
  void operator()(const AnswerDelta& delta) {
    if (delta.piece.kind == AnswerPiece::Kind::kText) result_.text += delta.piece.text;
    if (delta.piece.kind == AnswerPiece::Kind::kReasoning) result_.reasoning += delta.piece.text;
    if (hooks_.on_piece) hooks_.on_piece(delta.piece);
  }
  void operator()(const AllowanceLow&) {}  // nobody gave it one
  void operator()(const AnswerFinished& finished) {
    result_.ids = finished.ids;
    result_.finish_reason = finished.reason;
    result_.at_stop_string = finished.stop_string.has_value();
  }
  void operator()(const RequestDone& done) {
    result_.usage = done.usage;
    result_.timings = done.timings;
    status_ = done.status;
    done_ = true;
  }

  bool done() const { return done_; }
  Result<GenerateResult> Take() {
    FULMEN_TRY(status_);
    return std::move(result_);
  }

 private:
  const GenerateHooks& hooks_;
  GenerateResult result_;
  Status status_;
  bool done_ = false;
};

}  // namespace

Result<GenerateResult> Generate(Engine& engine, const Request& request,
                                const GenerateHooks& hooks) {
  FULMEN_CHECK(request.choices == 1, "{} answers are asked of Generate", request.choices);
  Gatherer gatherer(hooks);
  FULMEN_ASSIGN(const RequestId id,
                engine.Submit(request, [&gatherer](RequestId, const Event& event) {
                  std::visit(gatherer, event);
                }));
  while (!gatherer.done()) {
    if (hooks.cancel != nullptr && hooks.cancel->load()) engine.Cancel(id);
    engine.Step();
  }
  return gatherer.Take();
}

std::vector<int32_t> EndTokens(const Model& model, const Tokenizer* tokenizer, bool chat) {
  std::set<int32_t> ids(model.config.eos_ids.begin(), model.config.eos_ids.end());
  ids.insert(model.generation.eos_ids.begin(), model.generation.eos_ids.end());
  if (tokenizer != nullptr) {
    if (const auto eos = tokenizer->eos_id()) ids.insert(*eos);
    if (chat) {
      if (const auto end_of_turn = tokenizer->TokenId("<end_of_sentence>")) {
        ids.insert(*end_of_turn);
      }
    }
  }
  return {ids.begin(), ids.end()};
}

std::vector<int32_t> ForbiddenTokens(const Model& model, const Tokenizer* tokenizer) {
  const std::vector<int32_t> ends = EndTokens(model, tokenizer, /*chat=*/true);
  std::vector<int32_t> forbidden = model.unused_ids;
  if (model.config.vision) forbidden.push_back(model.config.vision->image_token);
  std::erase_if(forbidden,
                [&ends](int32_t id) { return std::binary_search(ends.begin(), ends.end(), id); });
  return forbidden;
}

std::vector<int64_t> MessageBorders(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  std::vector<int64_t> borders;
  const std::optional<int32_t> begin = tokenizer.TokenId("<beginning_of_sentence>");
  if (!begin) return borders;
  for (size_t i = 1; i < prompt.size(); ++i) {
    if (prompt[i] == *begin) borders.push_back(static_cast<int64_t>(i));
  }
  return borders;
}

AnswerDefaults DefaultsFor(const GenerationConfig& advice, std::optional<ChatFormat> format) {
  double temperature = 1;
  int64_t max_tokens = 256;
  if (format == ChatFormat::kText01 || format == ChatFormat::kVl01) {
    temperature = 0.1;
    max_tokens = 2048;
  } else if (format) {
    max_tokens = 8192;
  }
  AnswerDefaults defaults;
  defaults.sampling.temperature = advice.temperature.value_or(temperature);
  defaults.sampling.top_k = advice.top_k.value_or(0);
  defaults.sampling.top_p = advice.top_p.value_or(0.95);
  defaults.sampling.min_p = advice.min_p.value_or(0);
  defaults.sampling.repetition_penalty = advice.repetition_penalty.value_or(1);
  defaults.max_tokens = advice.max_new_tokens.value_or(max_tokens);
  return defaults;
}

}  // namespace fulmen
