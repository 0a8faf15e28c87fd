#include "cli/model_bench.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "cli/progress.h"
#include "kernels/peak.h"
#include "model/cost.h"
#include "model/forward.h"

namespace fulmen {
namespace {

constexpr int64_t kChunk = 512;

// Of a layer, on average over the layers.
double DistinctExperts(std::span<const int32_t> experts, int64_t layer_count) {
  const auto layers = static_cast<size_t>(layer_count);
  const size_t choices = experts.size() / layers;
  size_t distinct = 0;
  for (size_t layer = 0; layer < layers; ++layer) {
    const auto chosen = experts.subspan(layer * choices, choices);
    distinct += std::set<int32_t>(chosen.begin(), chosen.end()).size();
  }
  return static_cast<double>(distinct) / static_cast<double>(layers);
}

}  // namespace

ModelBench::Arithmetic ModelBench::ArithmeticOf(const Model& model) {
  const DType type = model.weights.layers.front().experts.front().gate.type;
  if (IsQuantized(type) && HasInt8Dot()) return {"int8 dot", "int8_dot_ops", MeasureInt8Ops};
  if (type == DType::kBF16 && MultipliesBf16Weights()) {
    return {"BF16 dot / 3", "bf16_dot_flops_of_three", MeasureBf16Parts};
  }
  return {"FMA", "fma_f32_flops", MeasureFmaFlops};
}

ModelBench::ModelBench(Session& session, int threads, const BenchSettings& settings)
    : session_(session),
      settings_(settings),
      own_pool_(threads == session.pool.size() ? nullptr : std::make_unique<ThreadPool>(threads)),
      context_{pool(), session.scratch},
      compute_(session.kernels, context_),
      states_(session.model.config, {.kv_type = session.kv_type}),
      arithmetic_(ArithmeticOf(session.model)) {
  if (settings.profile) {
    profile_.emplace(compute_, TensorNames(session.model.config, session.model.weights));
  }
}

Status ModelBench::Start(int64_t depth) {
  start_.reset();
  FULMEN_ASSIGN(start_, states_.Create());
  return Read(depth, *start_, settings_.quiet ? "" : fmt::format("reading {} tokens", depth));
}

Result<BenchRate> ModelBench::MeasurePrompt(int64_t tokens) {
  const double flops = ForwardFlops(session_.model.config, tokens, start_->position(), 1);
  FULMEN_ASSIGN(const std::vector<Sample> samples, Repeat([&]() -> Result<Sample> {
                  FULMEN_ASSIGN(SequenceState state, start_->Fork());
                  return Measure([&](Sample& sample) {
                    sample.flops = flops;
                    return Read(tokens, state, "");
                  });
                }));
  return Summarize(samples, tokens, 1);
}

Result<BenchRate> ModelBench::MeasureDecode(int64_t steps, int64_t sequences) {
  FULMEN_ASSIGN(const std::vector<Sample> samples, Repeat([&]() -> Result<Sample> {
                  std::vector<SequenceState> states;
                  for (int64_t s = 0; s < sequences; ++s) {
                    FULMEN_ASSIGN(SequenceState state, start_->Fork());
                    FULMEN_TRY(state.Reserve(steps));
                    states.push_back(std::move(state));
                  }
                  return Measure([&](Sample& sample) { return Decode(steps, states, sample); });
                }));
  return Summarize(samples, steps * sequences, steps);
}

Result<std::vector<ModelBench::Sample>> ModelBench::Repeat(
    const std::function<Result<Sample>()>& measure) {
  FULMEN_ASSIGN(const Sample warm_up, measure());
  if (profile_) profile_->Clear();
  std::vector<Sample> samples = {warm_up};
  for (int steady = 0; steady < settings_.repetitions;) {
    FULMEN_ASSIGN(samples.emplace_back(), measure());
    if (samples.back().steady) ++steady;
    if (std::ssize(samples) > 3 * settings_.repetitions) break;
  }
  return samples;
}

Result<ModelBench::Sample> ModelBench::Measure(const std::function<Status(Sample&)>& work) {
  Sample sample;
  PairedSample computing;
  FULMEN_ASSIGN(const PairedSample reading,
                MeasurePaired(MeasureReadBandwidth, pool(), bandwidth_, [&]() -> Status {
                  FULMEN_ASSIGN(computing, MeasurePaired(arithmetic_.measure, pool(), computing_,
                                                         [&] { return work(sample); }));
                  return {};
                }));
  sample.seconds = computing.seconds;
  sample.peak = computing.peak;
  sample.read_bandwidth = reading.peak;
  sample.steady = computing.steady && reading.steady;
  return sample;
}

BenchRate ModelBench::Summarize(std::span<const Sample> samples, int64_t tokens,
                                int64_t units) const {
  const std::span measured = samples.subspan(1);  // after the warm-up
  const bool none_is_steady = std::ranges::none_of(measured, &Sample::steady);
  const auto median = [&](const auto& value) {
    std::vector<double> values;
    for (const Sample& sample : measured) {
      if (sample.steady || none_is_steady) values.push_back(value(sample));
    }
    return Median(std::move(values));
  };
  const auto computing = [](const Sample& s) { return s.flops / s.seconds / s.peak; };
  const auto reading = [](const Sample& s) { return s.bytes / s.seconds / s.read_bandwidth; };
  BenchRate rate;
  rate.tokens_per_second =
      median([&](const Sample& s) { return static_cast<double>(tokens) / s.seconds; });
  rate.ops_per_second = median([](const Sample& s) { return s.flops / s.seconds; });
  rate.share_of_peak = median(computing);
  rate.bytes_per_second = median([](const Sample& s) { return s.bytes / s.seconds; });
  rate.share_of_bandwidth = median(reading);
  rate.share_of_possible =
      median([&](const Sample& s) { return std::max(computing(s), reading(s)); });
  if (!profile_) return rate;
  rate.profile.costs = profile_->Costs();
  rate.profile.units = units * std::ssize(measured);
  for (const Sample& sample : measured) {
    rate.profile.seconds += sample.seconds;
    rate.profile.peak += sample.peak / static_cast<double>(measured.size());
    rate.profile.read_bandwidth += sample.read_bandwidth / static_cast<double>(measured.size());
  }
  return rate;
}

Status ModelBench::Read(int64_t tokens, SequenceState& state, const std::string& what) {
  Progress progress(what, tokens);
  for (int64_t first = 0; first < tokens; first += kChunk) {
    const int64_t count = std::min(kChunk, tokens - first);
    const int64_t rows = first + count == tokens ? 1 : 0;
    FULMEN_TRY(Forward(session_.model, compute(), RandomTokens(count), state, Logits(rows)));
    progress.Add(count);
  }
  return {};
}

Status ModelBench::Decode(int64_t steps, std::vector<SequenceState>& states, Sample& sample) {
  const Config& config = session_.model.config;
  const auto sequences = std::ssize(states);
  std::vector<int32_t> experts(
      static_cast<size_t>(config.layer_count() * sequences * config.experts_per_token));
  for (int64_t i = 0; i < steps; ++i) {
    ForwardBatch batch;
    const int64_t position = states.front().position();
    for (SequenceState& state : states) batch.Add(RandomTokens(1), state, 1);
    for (const Status& status : Forward(session_.model, compute(), batch, Logits(sequences),
                                        {.experts = experts.data()})) {
      FULMEN_TRY(status);
    }
    sample.bytes += DecodeBytes(
        session_.model, {sequences, position, DistinctExperts(experts, config.layer_count())},
        session_.kv_type);
    sample.flops += static_cast<double>(sequences) * ForwardFlops(config, 1, position, 1);
  }
  return {};
}

std::span<const int32_t> ModelBench::RandomTokens(int64_t count) {
  const auto vocab = static_cast<uint64_t>(session_.model.config.vocab_size);
  ids_.resize(static_cast<size_t>(count));
  for (int32_t& id : ids_) id = static_cast<int32_t>(random_() % vocab);
  return ids_;
}

Matrix ModelBench::Logits(int64_t rows) {
  const int64_t vocab = session_.model.config.vocab_size;
  logits_.resize(static_cast<size_t>(rows * vocab));
  return {logits_.data(), rows, vocab};
}

Json ModelBench::PeaksToJson() const {
  return {{arithmetic_.json_name, computing_.ToJson()},
          {"read_bandwidth_bytes", bandwidth_.ToJson()}};
}

}  // namespace fulmen
