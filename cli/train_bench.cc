// fulmen train bench: the rate of whole training steps against the machine's own peak.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "base/machine.h"
#include "cli/commands.h"
#include "cli/paired_timing.h"
#include "cli/profile_report.h"
#include "cli/session.h"
#include "kernels/peak.h"
#include "model/cost.h"
#include "model/training.h"
#include "train/optimizer.h"

namespace fulmen {
namespace {

constexpr int64_t kShortest = 16;  // tokens of a packed document

struct TrainBenchOptions {
  SessionOptions session;
  std::string documents = "full";
  int64_t rows = 4;
  int64_t length = 2048;
  int repetitions = 5;
  bool recompute = false;
  std::string precision = "float32";
  bool profile = false;
  bool json = false;
};

// Lengths of the documents of one step. Packed ones are log-uniform from kShortest to the length of
// a row, the last cut so that the step has as many tokens as full rows.
std::vector<int64_t> DocumentLengths(const TrainBenchOptions& options) {
  const int64_t tokens = options.rows * options.length;
  std::vector<int64_t> lengths;
  std::mt19937_64 random(1);
  const double shortest = std::log(std::min(kShortest, options.length));
  std::uniform_real_distribution<double> log_length(shortest, std::log(options.length));
  for (int64_t left = tokens; left > 0; left -= lengths.back()) {
    const int64_t length =
        options.documents == "full" ? options.length : std::llround(std::exp(log_length(random)));
    lengths.push_back(std::min(length, left));
  }
  return lengths;
}

PackedBatch RandomBatch(const std::vector<int64_t>& lengths, int64_t vocabulary) {
  PackedBatch batch;
  std::mt19937_64 random(2);
  for (const int64_t length : lengths) {
    std::vector<int32_t> document(static_cast<size_t>(length));
    for (int32_t& id : document) {
      id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary));
    }
    batch.Add(document);
  }
  return batch;
}

// A backward pass multiplies twice where the forward pass multiplies once. Computing activations
// again is not counted: it is a price, not work wanted.
double StepFlops(const Config& config, const std::vector<int64_t>& lengths) {
  double flops = 0;
  for (const int64_t length : lengths) flops += 3 * ForwardFlops(config, length, 0, length);
  return flops;
}

// The most memory this process ever held, in bytes.
double PeakMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

// Every layer keeps its input for the backward pass.
Status CheckMemory(const TrainBenchOptions& options, const Config& config) {
  const double tokens = static_cast<double>(options.rows) * static_cast<double>(options.length);
  const double bytes = tokens * static_cast<double>(config.hidden_size) *
                       static_cast<double>(config.layer_count()) * sizeof(float);
  const auto available = static_cast<double>(AvailableMemory());
  if (bytes <= available) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "a step of {:.0f} tokens needs more than {:.3g} GB, and there are {:.3g}", tokens,
              bytes / 1e9, available / 1e9);
}

Status BenchTraining(const TrainBenchOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_TRY(CheckMemory(options, session->model.config));
  FULMEN_ASSIGN(const Precision precision, PrecisionFromName(options.precision));
  FULMEN_ASSIGN(const TrainingKernels* training,
                SelectTrainingKernels(options.session.kernels, precision));
  const Config& config = session->model.config;
  const std::vector<int64_t> lengths = DocumentLengths(options);
  const PackedBatch batch = RandomBatch(lengths, config.vocab_size);
  const auto tokens = static_cast<double>(batch.tokens.size());
  const double flops = StepFlops(config, lengths);

  Parameters weights(config, session->model.weights);
  Parameters gradients(config);
  Optimizer optimizer(config);
  const Compute plain(*training, session->context);
  std::optional<Profile> profile;
  if (options.profile) {
    Profile::Names names = TensorNames(config, weights.AsWeights(config));
    names.merge(TensorNames(config, gradients.AsGradients(config)));
    profile.emplace(plain, std::move(names));
  }
  const Compute& compute = profile ? profile->compute() : plain;
  LossOptions loss;
  loss.recompute = options.recompute;
  PeakRange fma;
  PairedSamples samples;
  ProfileReport report;
  for (int i = 0; i <= options.repetitions; ++i) {
    if (i == 1 && profile) profile->Clear();  // the first warms up
    FULMEN_ASSIGN(const PairedSample sample,
                  MeasurePaired(MeasureFmaFlops, session->pool, fma, [&]() -> Status {
                    std::ranges::fill(gradients.all(), 0.0F);
                    FULMEN_ASSIGN(const Losses losses,
                                  ForwardBackward(config, weights.AsWeights(config), compute, batch,
                                                  loss, gradients.AsGradients(config)));
                    const double norm = GlobalNorm(compute, gradients);
                    optimizer.Step({}, compute, gradients, norm, weights);
                    return {};
                  }));
    if (i == 0) continue;
    samples.Add(sample, tokens, flops);
    report.seconds += sample.seconds;
    report.peak += sample.peak / options.repetitions;
  }
  report.units = options.repetitions;
  if (profile) report.costs = profile->Costs();
  const double rate = Median(samples.rates);
  const double share = Median(samples.shares);
  if (options.json) {
    Json json = {{"model", session->files.path()},    {"kernels", session->kernels.name},
                 {"threads", session->pool.size()},   {"documents", lengths.size()},
                 {"tokens", batch.tokens.size()},     {"recompute", options.recompute},
                 {"precision", options.precision},    {"tokens_per_second", rate},
                 {"flops_per_token", flops / tokens}, {"share_of_fma_peak", share},
                 {"fma_f32_flops", fma.ToJson()},     {"peak_memory_bytes", PeakMemory()}};
    if (profile) json["profile"] = ToJson(report);
    Print("{}\n", json.dump());
    return {};
  }
  Print("{} with {} kernels, {}, {} threads: steps of {} tokens in {} documents, median of {}\n",
        session->files.path(), session->kernels.name, options.precision, session->pool.size(),
        batch.tokens.size(), lengths.size(), options.repetitions);
  Print("{:.0f} tokens/s, {:.1f} % of the FMA peak of {:.1f} to {:.1f} GFLOP/s\n", rate,
        100 * share, fma.low / 1e9, fma.high / 1e9);
  Print("{:.2f} GB held at most\n", PeakMemory() / 1e9);
  if (profile) PrintProfile(report, "Steps", "step", "FMA");
  return {};
}

}  // namespace

void AddTrainBench(Command& train) {
  auto options = std::make_shared<TrainBenchOptions>();
  Command& command =
      train.AddCommand("bench", "Measure training steps against the machine's own peak");
  AddSessionOptions(command, options->session);
  command
      .Add("--documents KIND", options->documents,
           "full: one document a row; packed: lengths log-uniform from 16 to a row")
      .Choices({"full", "packed"});
  command.Add("--rows N", options->rows, "Rows of a step", {1, 1 << 20});
  command.Add("--length N", options->length, "Tokens of a row", {2, 1 << 24});
  command.Add("-r,--repetitions N", options->repetitions,
              "Steps measured, after a warm-up; the median counts", {1, 1000});
  command.Add("--recompute", options->recompute,
              "Keep the inputs of layers and what softmax attention gave, compute the rest again");
  AddPrecisionOption(command, options->precision);
  command.Add("--profile", options->profile, "Tell which operations the time of the steps went to");
  command.Add("--json", options->json, "Print JSON, rates in units of one");
  command.Notes(
      "A step is forward, backward and AdamW on random tokens, counted as three times the forward "
      "products; the peak is measured just before and after each.");
  command.Examples({"fulmen train bench --rows 1 --length 128 -r 1"});
  command.Run([options] { return BenchTraining(*options); });
}

}  // namespace fulmen
