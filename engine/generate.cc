#include "engine/generate.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace fulmen {

Result<GenerateResult> Generate(const Model& model, const Tokenizer* tokenizer,
                                const Compute& compute, SequenceState& state,
                                GenerateRequest request, const GenerateHooks& hooks,
                                int64_t chunk) {
  FULMEN_CHECK(chunk >= 1, "a chunk of {}", chunk);
  const std::vector<int32_t> forbidden = ForbiddenTokens(model, tokenizer);
  const SequenceLimits limits{model.config.vocab_size, model.config.max_position, state.position(),
                              forbidden};
  FULMEN_ASSIGN(Sequence sequence, Sequence::Create(std::move(request), limits, tokenizer));

  std::vector<float> logits(static_cast<size_t>(model.config.vocab_size));
  GenerateTimings timings;
  const auto emit = [&hooks](const std::string& text) {
    if (hooks.on_text && !text.empty()) hooks.on_text(text);
  };
  while (!sequence.finished()) {
    if (hooks.cancel != nullptr && hooks.cancel->load()) {
      emit(sequence.Cancel());
      break;
    }
    const auto start = Clock::now();
    const bool reading_prompt = sequence.prompt_read() < sequence.prompt_size();
    const Sequence::Work work = sequence.Schedule(chunk);
    const int64_t count = static_cast<int64_t>(work.tokens.size());
    const Matrix wanted(logits.data(), work.wants_logits ? 1 : 0, model.config.vocab_size);
    FULMEN_TRY(Forward(model, compute, work.tokens, state, wanted));
    const size_t before = sequence.ids().size();
    const std::string text = sequence.Postprocess(work, logits);
    if (reading_prompt) {
      timings.prompt_tokens += count;
      timings.prompt_seconds += SecondsSince(start);
      if (hooks.on_prompt_read) {
        hooks.on_prompt_read(sequence.prompt_read(), sequence.prompt_size());
      }
    } else {
      timings.decode_tokens += count;
      timings.decode_seconds += SecondsSince(start);
    }
    emit(text);
    if (hooks.on_token && sequence.ids().size() > before) hooks.on_token();
  }
  return GenerateResult{
      sequence.ids(),    sequence.text(), *sequence.finish_reason(), sequence.at_stop_string(),
      sequence.Unread(), timings};
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
  std::erase_if(forbidden,
                [&ends](int32_t id) { return std::binary_search(ends.begin(), ends.end(), id); });
  return forbidden;
}

SamplingParams AdvisedSampling(const GenerationConfig& advice, SamplingParams defaults) {
  defaults.temperature = advice.temperature.value_or(defaults.temperature);
  defaults.top_k = advice.top_k.value_or(defaults.top_k);
  defaults.top_p = advice.top_p.value_or(defaults.top_p);
  defaults.min_p = advice.min_p.value_or(defaults.min_p);
  defaults.repetition_penalty = advice.repetition_penalty.value_or(defaults.repetition_penalty);
  return defaults;
}

}  // namespace fulmen
