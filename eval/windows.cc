#include "eval/windows.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/forward.h"

namespace fulmen {
namespace {

// Logits of one chunk are held at a time: 200 MB with a vocabulary of 200,000.
constexpr int64_t kChunk = 256;

// One reader in the window under way.
struct Reading {
  explicit Reading(const Reader& reader)
      : model(reader.model), states(reader.model.config, {.kv_type = reader.kv_type}) {}
  const Model& model;
  StatePool states;
  std::optional<SequenceState> state;
  std::vector<float> logits;  // [chunk, vocab]
};

}  // namespace

Result<int64_t> ScoreWindows(std::span<const Reader> readers, const Compute& compute,
                             const WindowedText& text, const ScoreFn& score) {
  const auto tokens = std::ssize(text.ids);
  if (tokens < 2 || text.window < 2) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "perplexity needs at least 2 tokens and a window of 2, found {} tokens and a window of {}",
        tokens, text.window);
  }
  const int64_t vocab = readers.front().model.config.vocab_size;
  std::vector<std::unique_ptr<Reading>> readings;
  for (const Reader& reader : readers) {
    FULMEN_CHECK(reader.model.config.vocab_size == vocab, "models of {} and {} tokens",
                 reader.model.config.vocab_size, vocab);
    readings.push_back(std::make_unique<Reading>(reader));
    readings.back()->logits.resize(static_cast<size_t>(std::min(kChunk, text.window) * vocab));
  }
  std::vector<std::span<const float>> rows(readings.size());
  const auto cancelled = [&] { return text.cancel != nullptr && text.cancel->load(); };
  int64_t read = 0;
  for (int64_t start = 0; start < tokens && !cancelled(); start += text.window) {
    const int64_t end = std::min(start + text.window, tokens);
    for (const auto& reading : readings) {
      reading->state.reset();  // its memory is used again
      FULMEN_ASSIGN(SequenceState state, reading->states.Create());
      reading->state.emplace(std::move(state));
    }
    for (int64_t first = start; first < end && !cancelled(); first += kChunk) {
      const int64_t count = std::min(kChunk, end - first);
      const auto chunk = text.ids.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
      for (const auto& reading : readings) {
        FULMEN_TRY(Forward(reading->model, compute, chunk, *reading->state,
                           Matrix(reading->logits.data(), count, vocab)));
      }
      // The window's last token predicts nothing.
      for (int64_t t = 0; t < std::min(count, end - 1 - first); ++t) {
        for (size_t m = 0; m < rows.size(); ++m) {
          rows[m] = std::span(readings[m]->logits)
                        .subspan(static_cast<size_t>(t * vocab), static_cast<size_t>(vocab));
        }
        score(rows, text.ids[static_cast<size_t>(first + t + 1)]);
      }
      read += count;
      text.progress(count);
    }
  }
  return read;
}

}  // namespace fulmen
