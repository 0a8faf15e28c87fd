#include "engine/generate.h"

#include <chrono>
#include <set>
#include <utility>

#include "base/check.h"

namespace fulmen {

namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<GenerateResult> Generate(const Model& model, const Tokenizer* tokenizer,
                                const Kernels& kernels, KernelContext& context,
                                SequenceState& state, GenerateRequest request,
                                const GenerateHooks& hooks, int64_t chunk) {
  FULMEN_CHECK(chunk >= 1, "a chunk of {}", chunk);
  const SequenceLimits limits{model.config.vocab_size, model.config.max_position, state.position(),
                              model.unused_ids};
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
    const auto start = std::chrono::steady_clock::now();
    const bool reading_prompt = sequence.prompt_read() < sequence.prompt_size();
    const Sequence::Work work = sequence.Schedule(chunk);
    const int64_t count = static_cast<int64_t>(work.tokens.size());
    const Matrix wanted(logits.data(), work.wants_logits ? 1 : 0, model.config.vocab_size);
    FULMEN_TRY(Forward(model, kernels, context, work.tokens, state, wanted));
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

std::vector<int32_t> EndTokens(const Config& config, const Tokenizer* tokenizer, bool chat) {
  std::set<int32_t> ids(config.eos_ids.begin(), config.eos_ids.end());
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

}  // namespace fulmen
