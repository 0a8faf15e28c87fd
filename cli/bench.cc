// fulmen bench: prompt and decode rates against the machine's own peaks, measured in the same run.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <random>
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
  int repetitions = 5;
  bool peak_only = false;
  bool json = false;
  bool quiet = false;
};

// Medians of what was measured at one depth.
struct Row {
  int64_t depth = 0;
  double prompt_rate = 0;   // tokens per second
  double prompt_share = 0;  // of the FMA peak
  double decode_rate = 0;
  double decode_share = 0;  // of read bandwidth
};

class Bench {
 public:
  Bench(Session& session, const BenchOptions& options)
      : session_(session),
        options_(options),
        logits_(static_cast<size_t>(session.model.config.vocab_size)) {}

  Result<Row> Measure(int64_t depth) {
    SequenceState start(session_.model.config);
    FULMEN_TRY(Read(depth, start, options_.quiet ? "" : fmt::format("reading {} tokens", depth)));
    const double prompt_flops = ForwardFlops(session_.model.config, options_.prompt, depth, 1);
    double decode_bytes = 0;
    for (int64_t i = 0; i < options_.generated; ++i) {
      decode_bytes += DecodeBytes(session_.model, depth + i);
    }
    PairedSamples prompt;
    PairedSamples decode;
    for (int i = 0; i <= options_.repetitions; ++i) {
      SequenceState prompt_state = start.Clone();
      SequenceState decode_state = start.Clone();
      FULMEN_ASSIGN(const PairedSample read,
                    MeasurePaired(MeasureFmaFlops, session_.pool, fma_,
                                  [&] { return Read(options_.prompt, prompt_state, ""); }));
      FULMEN_ASSIGN(const PairedSample decoded,
                    MeasurePaired(MeasureReadBandwidth, session_.pool, bandwidth_,
                                  [&] { return Decode(decode_state); }));
      if (i == 0) continue;  // a warm-up
      prompt.Add(read, static_cast<double>(options_.prompt), prompt_flops);
      decode.Add(decoded, static_cast<double>(options_.generated), decode_bytes);
    }
    return Row{depth, Median(prompt.rates), Median(prompt.shares), Median(decode.rates),
               Median(decode.shares)};
  }

  const PeakRange& fma() const { return fma_; }
  const PeakRange& bandwidth() const { return bandwidth_; }

 private:
  // Random tokens, so that all experts get work. The last token's logits are computed, as for an
  // answer.
  Status Read(int64_t tokens, SequenceState& state, const std::string& what) {
    Progress progress(what, tokens);
    for (int64_t first = 0; first < tokens; first += kChunk) {
      const int64_t count = std::min(kChunk, tokens - first);
      const int64_t rows = first + count == tokens ? 1 : 0;
      FULMEN_TRY(Step(count, rows, state));
      progress.Add(count);
    }
    return {};
  }

  Status Decode(SequenceState& state) {
    for (int64_t i = 0; i < options_.generated; ++i) FULMEN_TRY(Step(1, 1, state));
    return {};
  }

  Status Step(int64_t tokens, int64_t logit_rows, SequenceState& state) {
    const int64_t vocab = session_.model.config.vocab_size;
    ids_.resize(static_cast<size_t>(tokens));
    for (int32_t& id : ids_) id = static_cast<int32_t>(random_() % static_cast<uint64_t>(vocab));
    return Forward(session_.model, session_.kernels, session_.context, ids_, state,
                   Matrix(logits_.data(), logit_rows, vocab));
  }

  Session& session_;
  const BenchOptions& options_;
  std::mt19937_64 random_{1};
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
  PeakRange fma_;
  PeakRange bandwidth_;
};

// "0,8192" into `depths`.
Status ParseDepths(const std::string& text, std::vector<int64_t>& depths) {
  depths.clear();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    FULMEN_ASSIGN(
        depths.emplace_back(),
        ParseNumber<int64_t>(std::string_view(text).substr(begin, end - begin), {.low = 0}));
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
  Print("{:>9} {:>16.1f} {:>13.1f} % {:>16.2f} {:>13.1f} %\n", row.depth, row.prompt_rate,
        100 * row.prompt_share, row.decode_rate, 100 * row.decode_share);
}

Json ToJson(const Row& row) {
  return {{"depth", row.depth},
          {"prompt_tokens_per_second", row.prompt_rate},
          {"prompt_share_of_fma_peak", row.prompt_share},
          {"decode_tokens_per_second", row.decode_rate},
          {"decode_share_of_read_bandwidth", row.decode_share}};
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
    Json json = {{"model", session->folder},
                 {"kernels", session->kernels.name},
                 {"threads", session->pool.size()},
                 {"prompt_tokens", options.prompt},
                 {"new_tokens", options.generated},
                 {"peaks",
                  {{"fma_f32_flops", bench.fma().ToJson()},
                   {"read_bandwidth_bytes", bench.bandwidth().ToJson()}}},
                 {"rows", Json::array()}};
    for (const Row& row : rows) json["rows"].push_back(ToJson(row));
    Print("{}\n", json.dump());
    return {};
  }
  Print("{} with {} kernels, {} threads, {} prompt and {} new tokens, median of {}\n",
        session->folder, session->kernels.name, session->pool.size(), options.prompt,
        options.generated, options.repetitions);
  Print("peaks: FMA {:.1f} to {:.1f} GFLOP/s, read bandwidth {:.1f} to {:.1f} GB/s\n\n",
        bench.fma().low / 1e9, bench.fma().high / 1e9, bench.bandwidth().low / 1e9,
        bench.bandwidth().high / 1e9);
  Print("{:>9} {:>16} {:>15} {:>16} {:>15}\n", "depth", "prompt tokens/s", "of FMA peak",
        "decode tokens/s", "of read peak");
  for (const Row& row : rows) PrintRow(row);
  return {};
}

}  // namespace

void AddBenchCommand(Command& program) {
  auto options = std::make_shared<BenchOptions>();
  Command& command = program.AddCommand(
      "bench", "Measure prompt and decode rates against the machine's own peaks");
  AddSessionOptions(command, options->session);
  command.Add("-p,--prompt-tokens N", options->prompt, "Tokens of the prompt", {1, 1 << 24});
  command.Add("-n,--new-tokens N", options->generated, "Tokens to decode", {1, 1 << 24});
  command
      .Add(
          "-d,--depths N,...",
          [options](const std::string& text) { return ParseDepths(text, options->depths); },
          "Tokens already in the context before both, one row each")
      .Default("0");
  command.Add("-r,--repetitions N", options->repetitions,
              "Measurements, after a warm-up; the median counts", {1, 1000});
  command.Add("--peak", options->peak_only, "Only the machine's peaks")
      .Excludes(
          {"--model", "--kernels", "--prompt-tokens", "--new-tokens", "--depths", "--repetitions"});
  command.Add("--json", options->json, "Print JSON, rates in units of one");
  AddQuietOption(command, options->quiet);
  command.Notes(
      "Shares: the prompt's floating-point operations against the float32 FMA peak, the bytes a "
      "decoded token must move against read bandwidth; each peak is measured just before and "
      "after.");
  command.Examples({"fulmen bench -p 64 -n 8 -r 1 -d 0,256", "fulmen bench --peak"});
  command.Run(
      [options] { return options->peak_only ? BenchPeaks(*options) : BenchModel(*options); });
}

}  // namespace fulmen
