// fulmen bench: prompt and decode rates against the machine's own peaks, measured in the same run.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/paired_timing.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "kernels/peak.h"
#include "model/cost.h"
#include "model/forward.h"

namespace fulmen {
namespace {

constexpr int64_t kChunk = 512;

struct BenchOptions {
  SessionOptions session;
  int64_t prompt = 512;
  int64_t generated = 64;
  std::vector<int64_t> depths = {0};
  std::vector<int64_t> batches = {1};
  int repetitions = 5;
  bool peak_only = false;
  bool json = false;
  bool quiet = false;
};

// Medians of what was measured.
struct DecodeRate {
  int64_t sequences = 0;
  double rate = 0;   // tokens per second, of all sequences together
  double share = 0;  // of what is possible
};
struct Row {
  int64_t depth = 0;
  double prompt_rate = 0;   // tokens per second
  double prompt_share = 0;  // of the peak of arithmetic
  std::vector<DecodeRate> decode;
};

// The peak of the instruction that most products of a model are made of.
struct Arithmetic {
  const char* name;
  const char* json_name;
  double (*measure)(ThreadPool&);
};

Arithmetic ArithmeticOf(const Model& model) {
  if (IsQuantized(model.weights.layers.front().experts.front().gate.type) && HasInt8Dot()) {
    return {"int8 dot", "int8_dot_ops", MeasureInt8Ops};
  }
  return {"FMA", "fma_f32_flops", MeasureFmaFlops};
}

class Bench {
 public:
  Bench(Session& session, const BenchOptions& options)
      : session_(session),
        options_(options),
        states_(session.model.config, {.kv_type = session.kv_type}),
        arithmetic_(ArithmeticOf(session.model)) {}

  Result<Row> Measure(int64_t depth) {
    FULMEN_ASSIGN(SequenceState start, states_.Create());
    FULMEN_TRY(Read(depth, start, options_.quiet ? "" : fmt::format("reading {} tokens", depth)));
    const double flops = ForwardFlops(session_.model.config, options_.prompt, depth, 1);
    PairedSamples prompt;
    for (int i = 0; i <= options_.repetitions; ++i) {
      FULMEN_ASSIGN(SequenceState state, start.Fork());
      FULMEN_ASSIGN(const PairedSample read,
                    MeasurePaired(arithmetic_.measure, session_.pool, computing_,
                                  [&] { return Read(options_.prompt, state, ""); }));
      if (i > 0) prompt.Add(read, static_cast<double>(options_.prompt), flops);  // after a warm-up
    }
    Row row = {depth, Median(prompt.rates), Median(prompt.shares), {}};
    for (const int64_t sequences : options_.batches) {
      FULMEN_ASSIGN(row.decode.emplace_back(), MeasureDecode(start, sequences));
    }
    return row;
  }

  const Arithmetic& arithmetic() const { return arithmetic_; }
  const PeakRange& computing() const { return computing_; }
  const PeakRange& bandwidth() const { return bandwidth_; }

 private:
  Result<DecodeRate> MeasureDecode(const SequenceState& start, int64_t sequences) {
    const double tokens = static_cast<double>(sequences * options_.generated);
    std::vector<double> rates;
    std::vector<double> shares;
    for (int i = 0; i <= options_.repetitions; ++i) {
      std::vector<SequenceState> states;
      for (int64_t s = 0; s < sequences; ++s) {
        FULMEN_ASSIGN(SequenceState state, start.Fork());
        FULMEN_TRY(state.Reserve(options_.generated));
        states.push_back(std::move(state));
      }
      double bytes = 0;
      double flops = 0;
      PairedSample computing;
      FULMEN_ASSIGN(const PairedSample reading,
                    MeasurePaired(MeasureReadBandwidth, session_.pool, bandwidth_, [&]() -> Status {
                      FULMEN_ASSIGN(computing,
                                    MeasurePaired(arithmetic_.measure, session_.pool, computing_,
                                                  [&] { return Decode(states, bytes, flops); }));
                      return {};
                    }));
      if (i == 0) continue;  // a warm-up
      rates.push_back(tokens / computing.seconds);
      shares.push_back(std::max(bytes / reading.peak, flops / computing.peak) / computing.seconds);
    }
    return DecodeRate{sequences, Median(rates), Median(shares)};
  }

  // Random tokens, so that all experts get work. The last token's logits are computed, as for an
  // answer.
  Status Read(int64_t tokens, SequenceState& state, const std::string& what) {
    Progress progress(what, tokens);
    for (int64_t first = 0; first < tokens; first += kChunk) {
      const int64_t count = std::min(kChunk, tokens - first);
      const int64_t rows = first + count == tokens ? 1 : 0;
      FULMEN_TRY(
          Forward(session_.model, session_.compute, RandomTokens(count), state, Logits(rows)));
      progress.Add(count);
    }
    return {};
  }

  // Adds what its steps must move and compute.
  Status Decode(std::vector<SequenceState>& states, double& bytes, double& flops) {
    const Config& config = session_.model.config;
    const auto sequences = std::ssize(states);
    std::vector<int32_t> experts(
        static_cast<size_t>(config.layer_count() * sequences * config.experts_per_token));
    for (int64_t i = 0; i < options_.generated; ++i) {
      ForwardBatch batch;
      const int64_t position = states.front().position();
      for (SequenceState& state : states) batch.Add(RandomTokens(1), state, 1);
      for (const Status& status : Forward(session_.model, session_.compute, batch,
                                          Logits(sequences), {.experts = experts.data()})) {
        FULMEN_TRY(status);
      }
      bytes += DecodeBytes(session_.model, {sequences, position, DistinctExperts(experts)},
                           session_.kv_type);
      flops += static_cast<double>(sequences) * ForwardFlops(config, 1, position, 1);
    }
    return {};
  }

  // Of a layer, on average over the layers.
  double DistinctExperts(std::span<const int32_t> experts) const {
    const auto layers = static_cast<size_t>(session_.model.config.layer_count());
    const size_t choices = experts.size() / layers;
    size_t distinct = 0;
    for (size_t layer = 0; layer < layers; ++layer) {
      const auto chosen = experts.subspan(layer * choices, choices);
      distinct += std::set<int32_t>(chosen.begin(), chosen.end()).size();
    }
    return static_cast<double>(distinct) / static_cast<double>(layers);
  }

  std::span<const int32_t> RandomTokens(int64_t count) {
    const auto vocab = static_cast<uint64_t>(session_.model.config.vocab_size);
    ids_.resize(static_cast<size_t>(count));
    for (int32_t& id : ids_) id = static_cast<int32_t>(random_() % vocab);
    return ids_;
  }

  Matrix Logits(int64_t rows) {
    const int64_t vocab = session_.model.config.vocab_size;
    logits_.resize(static_cast<size_t>(rows * vocab));
    return {logits_.data(), rows, vocab};
  }

  Session& session_;
  const BenchOptions& options_;
  StatePool states_;
  std::mt19937_64 random_{1};
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
  Arithmetic arithmetic_;
  PeakRange computing_;
  PeakRange bandwidth_;
};

// "0,8192" into `numbers`, each at least `low`.
Status ParseNumbers(const std::string& text, int64_t low, std::vector<int64_t>& numbers) {
  numbers.clear();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    FULMEN_ASSIGN(
        numbers.emplace_back(),
        ParseNumber<int64_t>(std::string_view(text).substr(begin, end - begin), {.low = low}));
    begin = end + 1;
  }
  return {};
}

Json ToJson(const Peaks& peaks) {
  return {{"fma_f32_flops", peaks.fma_flops},
          {"int8_dot_ops", peaks.int8_dot ? Json(peaks.int8_dot->ops) : Json(nullptr)},
          {"int8_dot_instructions",
           peaks.int8_dot ? Json(peaks.int8_dot->instructions) : Json(nullptr)},
          {"bf16_dot_flops", peaks.bf16_dot_flops ? Json(*peaks.bf16_dot_flops) : Json(nullptr)},
          {"read_bandwidth_bytes", peaks.read_bandwidth}};
}

void PrintPeak(const char* name, double peak, const std::string& unit) {
  Print("{:<24}{:>8.1f} {}\n", name, peak / 1e9, unit);
}

void PrintPeaks(const Peaks& peaks, const std::string& kernels, int threads) {
  Print("Peaks of this machine with {} threads, {}\n", threads, kernels);
  const auto lacking = [](const char* name) {
    Print("{:<24}{:>8} (this processor has no such instruction)\n", name, "-");
  };
  PrintPeak("FMA float32", peaks.fma_flops, "GFLOP/s");
  if (peaks.int8_dot) {
    PrintPeak("int8 dot", peaks.int8_dot->ops,
              fmt::format("GOP/s by {}", peaks.int8_dot->instructions));
  } else {
    lacking("int8 dot");
  }
  if (peaks.bf16_dot_flops) {
    PrintPeak("BF16 dot", *peaks.bf16_dot_flops, "GFLOP/s");
  } else {
    lacking("BF16 dot");
  }
  PrintPeak("read bandwidth", peaks.read_bandwidth, "GB/s");
}

void PrintRow(const Row& row) {
  std::string front = fmt::format("{:>9} {:>16.1f} {:>13.1f} %", row.depth, row.prompt_rate,
                                  100 * row.prompt_share);
  for (const DecodeRate& decode : row.decode) {
    Print("{:>27} {:>10} {:>16.2f} {:>13.1f} %\n", front, decode.sequences, decode.rate,
          100 * decode.share);
    front = std::string(front.size(), ' ');
  }
}

Json ToJson(const Row& row) {
  Json json = {{"depth", row.depth},
               {"prompt_tokens_per_second", row.prompt_rate},
               {"prompt_share_of_peak", row.prompt_share},
               {"decode", Json::array()}};
  for (const DecodeRate& decode : row.decode) {
    json["decode"].push_back({{"sequences", decode.sequences},
                              {"tokens_per_second", decode.rate},
                              {"share_of_possible", decode.share}});
  }
  return json;
}

Status BenchPeaks(const BenchOptions& options) {
  FULMEN_ASSIGN(const Kernels* kernels, CpuKernels());
  ThreadPool pool(options.session.threads);
  const Peaks peaks = MeasurePeaks(pool);
  if (options.json) {
    Print("{}\n",
          Json{{"kernels", kernels->name}, {"threads", pool.size()}, {"peaks", ToJson(peaks)}}
              .dump());
  } else {
    PrintPeaks(peaks, kernels->name, pool.size());
  }
  return {};
}

Status BenchModel(const BenchOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  RepackIfWanted(*session, options.session, options.quiet);
  const Config& config = session->model.config;
  for (const int64_t depth : options.depths) {
    if (depth + std::max(options.prompt, options.generated) > config.max_position) {
      return Fail(ErrorCode::kInvalidArgument,
                  "depth {} with {} prompt and {} new tokens does not fit the context limit of {}",
                  depth, options.prompt, options.generated, config.max_position);
    }
  }
  Bench bench(*session, options);
  std::vector<Row> rows;
  for (const int64_t depth : options.depths) {
    FULMEN_ASSIGN(const Row row, bench.Measure(depth));
    rows.push_back(row);
  }
  if (options.json) {
    Json json = {{"model", session->files.path()},
                 {"kernels", session->kernels.name},
                 {"threads", session->pool.size()},
                 {"prompt_tokens", options.prompt},
                 {"new_tokens", options.generated},
                 {"repacked_bytes", session->repacked_bytes},
                 {"kv_type", DTypeName(session->kv_type)},
                 {"peaks",
                  {{bench.arithmetic().json_name, bench.computing().ToJson()},
                   {"read_bandwidth_bytes", bench.bandwidth().ToJson()}}},
                 {"rows", Json::array()}};
    for (const Row& row : rows) json["rows"].push_back(ToJson(row));
    Print("{}\n", json.dump());
    return {};
  }
  Print("{} with {} kernels, {} threads, {} prompt and {} new tokens, median of {}{}\n",
        session->files.path(), session->kernels.name, session->pool.size(), options.prompt,
        options.generated, options.repetitions,
        session->repacked_bytes > 0 ? ", weights repacked" : "");
  Print("peaks: {} {:.1f} to {:.1f} GOP/s, read bandwidth {:.1f} to {:.1f} GB/s\n\n",
        bench.arithmetic().name, bench.computing().low / 1e9, bench.computing().high / 1e9,
        bench.bandwidth().low / 1e9, bench.bandwidth().high / 1e9);
  Print("{:>9} {:>16} {:>15} {:>10} {:>16} {:>15}\n", "depth", "prompt tokens/s", "of the peak",
        "sequences", "decode tokens/s", "of possible");
  for (const Row& row : rows) PrintRow(row);
  return {};
}

}  // namespace

void AddBenchCommand(Command& program) {
  auto options = std::make_shared<BenchOptions>();
  Command& command = program.AddCommand(
      "bench", "Measure prompt and decode rates against the machine's own peaks");
  AddSessionOptions(command, options->session);
  AddRepackOption(command, options->session);
  AddKvTypeOption(command, options->session);
  command.Add("-p,--prompt-tokens N", options->prompt, "Tokens of the prompt", {1, 1 << 24});
  command.Add("-n,--new-tokens N", options->generated, "Tokens to decode", {1, 1 << 24});
  command
      .Add(
          "-d,--depths N,...",
          [options](const std::string& text) { return ParseNumbers(text, 0, options->depths); },
          "Tokens already in the context before both, one row each")
      .Default("0");
  command
      .Add(
          "-b,--batch N,...",
          [options](const std::string& text) { return ParseNumbers(text, 1, options->batches); },
          "Sequences decoded together, one row each")
      .Default("1");
  command.Add("-r,--repetitions N", options->repetitions,
              "Measurements, after a warm-up; the median counts", {1, 1000});
  command.Add("--peak", options->peak_only, "Only the machine's peaks")
      .Excludes({"--model", "--kernels", "--no-repack", "--kv-type", "--prompt-tokens",
                 "--new-tokens", "--depths", "--batch", "--repetitions"});
  command.Add("--json", options->json, "Print JSON, rates in units of one");
  AddQuietOption(command, options->quiet);
  command.Notes(
      "Shares: the prompt's operations against the peak of what its products are made of, float32 "
      "multiply-adds or, where weights are quantized, products of bytes; the time that a step of "
      "decoding needs at least, to read each weight, state and key it uses once at the measured "
      "bandwidth or to compute at that peak, whichever is longer, against the time it took. Peaks "
      "are measured just before and after.");
  command.Examples({"fulmen bench -p 64 -n 8 -r 1 -d 0,256 -b 1,4", "fulmen bench --peak"});
  command.Run(
      [options] { return options->peak_only ? BenchPeaks(*options) : BenchModel(*options); });
}

}  // namespace fulmen
