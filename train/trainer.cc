#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file_io.h"
#include "base/workspace.h"
#include "kernels/training.h"
#include "model/cost.h"
#include "model/training.h"
#include "train/prepare.h"
#include "train/report.h"
#include "train/run_setup.h"
#include "train/schedule.h"
#include "train/stage_data.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What the ranks add up after the batches of a step.
struct StepSums {
  double cross_entropy = 0;
  double auxiliary = 0;
  double z = 0;
  double dropped = 0;
  double stop = 0;              // ranks that were asked to stop
  std::vector<double> choices;  // see Losses

  Status Reduce(Communicator& ranks) {
    std::vector<double> all = {cross_entropy, auxiliary, z, dropped, stop};
    all.insert(all.end(), choices.begin(), choices.end());
    FULMEN_TRY(ranks.AllReduceSum(all));
    cross_entropy = all[0];
    auxiliary = all[1];
    z = all[2];
    dropped = all[3];
    stop = all[4];
    choices.assign(all.begin() + 5, all.end());
    return {};
  }
};

class Trainer {
 public:
  Trainer(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
          Communicator& ranks, const Kernels& kernels, const TrainingKernels& training,
          StageData data, RunState run)
      : config_(config),
        options_(options),
        ranks_(ranks),
        kernels_(kernels),
        training_(training),
        data_(std::move(data)),
        run_(std::move(run)),
        plan_(config),
        gradients_(run_.config),
        context_{pool, scratch_},
        choices_(static_cast<size_t>(run_.config.layer_count() * run_.config.experts)) {}

  // To the end, or until it is asked to stop.
  Status Run();

 private:
  bool leads() const { return ranks_.rank() == 0; }
  void Say(const std::string& sentence) const {
    if (leads() && options_.say) options_.say(sentence);
  }

  Status OpenLog();
  Status EnterStage(size_t stage);
  // One step, and everything that is due after it; true when the run was asked to stop.
  Result<bool> Advance();
  Result<StepMetrics> Step(const StepPlan& plan, bool& stop);
  // Losses and gradients of this rank's batches; gradients are summed over the ranks.
  Result<StepSums> Accumulate(const std::vector<PackedBatch>& batches, double predicted,
                              int64_t step_batches);
  // ForwardBackward, with the step named in errors.
  Result<Losses> Compute(const PackedBatch& batch, const LossOptions& options);
  LossOptions StepLoss(double predicted, int64_t step_batches) const;
  Status CheckFinite(const StepSums& sums, double norm) const;
  OptimizerOptions StepOptimizer(double learning_rate) const;
  Status Evaluate();
  // The experts' load since the report before, and the report.
  Status Report();
  Status Finish();

  const TrainingConfig& config_;
  const TrainingOptions& options_;
  Communicator& ranks_;
  const Kernels& kernels_;
  const TrainingKernels& training_;
  StageData data_;
  RunState run_;
  const TrainingPlan plan_;
  Parameters gradients_;
  Workspace scratch_;
  KernelContext context_;
  Weights weights_;           // views of run_.weights
  Gradients gradient_views_;  // of gradients_
  std::optional<BatchStream> stream_;
  std::optional<MetricsLog> log_;  // on rank 0
  std::vector<double> choices_;    // of every expert since the last record, [layers * experts]
  double planned_left_ = 0;        // tokens of the steps to come, were every batch full
  double pace_ = 0;                // seconds per planned token, over the last twenty steps or so
};

Status Trainer::Run() {
  gradient_views_ = gradients_.AsGradients(run_.config);
  planned_left_ = plan_.TokensFrom(run_.step);
  if (leads()) FULMEN_TRY(OpenLog());
  // Also sets the geometry of the stage: a checkpoint's RoPE base is that of its stage already.
  const bool resumed = !run_.stream.is_null();
  FULMEN_TRY(EnterStage(run_.stage));
  if (resumed) Say(fmt::format("going on after step {} of {}", run_.step, plan_.steps()));
  while (run_.step < plan_.steps()) {
    FULMEN_ASSIGN(const bool stopped, Advance());
    if (stopped && run_.step < plan_.steps()) {
      FULMEN_TRY(ranks_.Barrier());
      return Fail(ErrorCode::kCancelled, "stopped after step {} of {}; --resume goes on from there",
                  run_.step, plan_.steps());
    }
  }
  return Finish();
}

Status Trainer::OpenLog() {
  FULMEN_ASSIGN(MetricsLog log,
                MetricsLog::Open(config_.output.folder + "/metrics.jsonl", run_.step));
  log_.emplace(std::move(log));
  return WriteFileAtomically(config_.output.folder + "/config.toml", WriteTrainingConfig(config_));
}

Status Trainer::EnterStage(size_t stage) {
  FULMEN_ASSIGN(BatchStream stream, data_.Stream(stage));
  const bool resumed = !stream_ && !run_.stream.is_null();
  if (resumed || (stream_ && data_.Continues(stage))) {
    const Json state = stream_ ? stream_->State() : run_.stream;
    FULMEN_TRY(stream.Restore(state));
  }
  stream_.emplace(std::move(stream));
  run_.stage = stage;
  const double rope_theta = config_.stages[stage].rope_theta;
  if (rope_theta > 0) run_.config.rope_base = rope_theta;
  weights_ = run_.weights.AsWeights(run_.config);
  return {};
}

Result<bool> Trainer::Advance() {
  const StepPlan plan = plan_.At(run_.step);
  if (plan.stage != run_.stage) FULMEN_TRY(EnterStage(plan.stage));
  bool stop = false;
  FULMEN_ASSIGN(const StepMetrics metrics, Step(plan, stop));
  const bool last = run_.step == plan_.steps();
  if (leads()) {
    FULMEN_TRY(log_->Add(metrics));
    if (options_.progress) {
      options_.progress({metrics, plan_.steps(), planned_left_ * pace_});
    }
  }
  const auto due = [&](int64_t every) { return last || (every > 0 && run_.step % every == 0); };
  if (!config_.evaluation.data.empty() && due(config_.evaluation.every)) FULMEN_TRY(Evaluate());
  if (leads() && (due(config_.output.report_every) || stop)) FULMEN_TRY(Report());
  if (due(config_.checkpoint.every) || stop) {
    run_.stream = stream_->State();
    if (!std::isfinite(GlobalNorm(training_, context_, run_.weights))) {
      return Fail(ErrorCode::kNonFinite, "step {}: a weight is not finite any more", run_.step);
    }
    if (leads()) FULMEN_TRY(SaveRun(config_, run_));
    FULMEN_TRY(ranks_.Barrier());
  }
  return stop;
}

Result<StepMetrics> Trainer::Step(const StepPlan& plan, bool& stop) {
  const Clock::time_point start = Clock::now();
  std::vector<PackedBatch> batches;
  std::vector<double> totals(3);  // predicted tokens, tokens, floating-point operations
  for (int64_t i = 0; i < plan.batches; ++i) {
    if (i % ranks_.size() != ranks_.rank()) {
      stream_->Skip();
      continue;
    }
    const PackedBatch& batch = batches.emplace_back(stream_->Next());
    const int64_t predicted = batch.PredictedTokens();
    totals[0] += static_cast<double>(predicted);
    totals[1] += static_cast<double>(batch.tokens.size());
    totals[2] += 3 * PackedForwardFlops(run_.config, batch.starts, predicted);
  }
  FULMEN_TRY(ranks_.AllReduceSum(totals));
  FULMEN_ASSIGN(StepSums sums, Accumulate(batches, totals[0], plan.batches));
  sums.stop = options_.stop != nullptr && options_.stop->load() ? 1 : 0;
  FULMEN_TRY(sums.Reduce(ranks_));
  const double norm = GlobalNorm(training_, context_, gradients_);
  FULMEN_TRY(CheckFinite(sums, norm));
  run_.optimizer.Step(StepOptimizer(plan.learning_rate), training_, context_, gradients_, norm,
                      run_.weights);
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i] += sums.choices[i];
  stop = sums.stop > 0;

  const double seconds = SecondsSince(start);
  ++run_.step;
  run_.tokens += totals[1];
  run_.seconds += seconds;
  const StageConfig& stage = config_.stages[plan.stage];
  const auto planned = static_cast<double>(plan.batches * StageBatchTokens(config_, stage));
  planned_left_ -= planned;
  pace_ += (pace_ == 0 ? 1 : 0.05) * (seconds / planned - pace_);
  StepMetrics metrics;
  metrics.step = run_.step;
  metrics.stage = stage.name;
  metrics.tokens = run_.tokens;
  metrics.seconds = run_.seconds;
  metrics.cross_entropy = sums.cross_entropy;
  metrics.auxiliary = sums.auxiliary;
  metrics.z = sums.z;
  metrics.dropped = sums.dropped;
  metrics.loss =
      sums.cross_entropy + config_.loss.auxiliary * sums.auxiliary + config_.loss.z * sums.z;
  metrics.gradient_norm = norm;
  metrics.learning_rate = plan.learning_rate;
  metrics.tokens_per_second = totals[1] / seconds;
  metrics.flops = totals[2];
  if (options_.peak_flops > 0) metrics.peak_share = totals[2] / seconds / options_.peak_flops;
  return metrics;
}

Result<StepSums> Trainer::Accumulate(const std::vector<PackedBatch>& batches, double predicted,
                                     int64_t step_batches) {
  std::ranges::fill(gradients_.all(), 0.0F);
  StepSums sums;
  sums.choices.resize(choices_.size());
  LossOptions options = StepLoss(predicted, step_batches);
  for (size_t i = 0; i < batches.size(); ++i) {
    if (i + 1 == batches.size() && ranks_.size() > 1) {
      options.gradients_ready = [&](int64_t layer) -> Status {
        for (const std::span<float> piece : gradients_.LayerPieces(layer)) {
          FULMEN_TRY(ranks_.StartAllReduceSum(piece));
        }
        return {};
      };
    }
    FULMEN_ASSIGN(const Losses losses, Compute(batches[i], options));
    sums.cross_entropy += losses.cross_entropy;
    sums.auxiliary += options.step_share * losses.auxiliary;
    sums.z += options.step_share * losses.z;
    sums.dropped += options.step_share * losses.dropped;
    for (size_t e = 0; e < sums.choices.size(); ++e) sums.choices[e] += losses.choices[e];
  }
  FULMEN_TRY(ranks_.FinishAllReduces());
  return sums;
}

Result<Losses> Trainer::Compute(const PackedBatch& batch, const LossOptions& options) {
  Result<Losses> losses = ForwardBackward(run_.config, weights_, kernels_, training_, context_,
                                          batch, options, gradient_views_);
  if (!losses) {
    return Fail(losses.error().code, "step {}: {}", run_.step + 1, losses.error().message);
  }
  return losses;
}

LossOptions Trainer::StepLoss(double predicted, int64_t step_batches) const {
  LossOptions options;
  options.auxiliary = static_cast<float>(config_.loss.auxiliary);
  options.z = static_cast<float>(config_.loss.z);
  options.step_predicted_tokens = static_cast<int64_t>(predicted);
  options.step_share = 1.0F / static_cast<float>(step_batches);
  options.recompute = config_.batch.recompute;
  options.capacity = static_cast<float>(config_.loss.capacity);
  options.ranks = &ranks_;
  return options;
}

Status Trainer::CheckFinite(const StepSums& sums, double norm) const {
  const int64_t step = run_.step + 1;
  if (!std::isfinite(sums.cross_entropy + sums.auxiliary + sums.z)) {
    return Fail(ErrorCode::kNonFinite,
                "step {}: the loss is not finite (cross-entropy {}, auxiliary {}, z {})", step,
                sums.cross_entropy, sums.auxiliary, sums.z);
  }
  if (std::isfinite(norm)) return {};
  for (size_t i = 0; i < gradients_.size(); ++i) {
    const std::span<const float> values = gradients_.values(i);
    if (std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) continue;
    return Fail(ErrorCode::kNonFinite, "step {}: the gradient of {} is not finite", step,
                gradients_.tensor(i).name);
  }
  return Fail(ErrorCode::kNonFinite, "step {}: the norm of the gradients is not finite", step);
}

OptimizerOptions Trainer::StepOptimizer(double learning_rate) const {
  OptimizerOptions options;
  options.learning_rate = static_cast<float>(learning_rate);
  options.beta1 = static_cast<float>(config_.optimizer.beta1);
  options.beta2 = static_cast<float>(config_.optimizer.beta2);
  options.epsilon = static_cast<float>(config_.optimizer.epsilon);
  options.weight_decay = static_cast<float>(config_.optimizer.weight_decay);
  options.no_decay = config_.optimizer.no_decay;
  options.clip = static_cast<float>(config_.optimizer.clip);
  return options;
}

Status Trainer::Evaluate() {
  FULMEN_ASSIGN(BatchStream stream, data_.HeldOut(run_.stage));
  LossOptions options;
  options.auxiliary = 0;
  std::vector<double> sums(2);  // of the losses, of their number
  for (int64_t i = 0; i < config_.evaluation.batches; ++i) {
    if (i % ranks_.size() != ranks_.rank()) {
      stream.Skip();
      continue;
    }
    const PackedBatch batch = stream.Next();
    FULMEN_ASSIGN(const Losses losses, ForwardLosses(run_.config, weights_, kernels_, training_,
                                                     context_, batch, options));
    const auto predicted = static_cast<double>(batch.PredictedTokens());
    sums[0] += losses.cross_entropy * predicted;
    sums[1] += predicted;
  }
  FULMEN_TRY(ranks_.AllReduceSum(sums));
  const HeldOutLoss held_out{run_.step, sums[0] / sums[1]};
  Say(fmt::format("step {}: held-out loss {:.4f}", run_.step, held_out.cross_entropy));
  return leads() ? log_->Add(held_out) : Status();
}

Status Trainer::Report() {
  const auto experts = static_cast<size_t>(run_.config.experts);
  ExpertLoad load{run_.step, {}};
  for (size_t first = 0; first < choices_.size(); first += experts) {
    double sum = 0;
    for (size_t e = 0; e < experts; ++e) sum += choices_[first + e];
    std::vector<double>& shares = load.shares.emplace_back();
    for (size_t e = 0; e < experts; ++e) shares.push_back(choices_[first + e] / sum);
  }
  std::ranges::fill(choices_, 0.0);
  FULMEN_TRY(log_->Add(load));
  return WriteFileAtomically(config_.output.folder + "/report.html",
                             RenderReport(config_, run_.config, log_->history()));
}

Status Trainer::Finish() {
  if (leads()) {
    const DType type = config_.output.type == "float32" ? DType::kF32 : DType::kBF16;
    FULMEN_TRY(WriteModelFolder(run_.config, run_.weights, type, run_.tokenizer,
                                config_.output.folder + "/model"));
  }
  Say(fmt::format("{} steps, {:.4g} tokens: the model is in {}/model", run_.step, run_.tokens,
                  config_.output.folder));
  return ranks_.Barrier();
}

// Every step must give every rank as many batches as any other.
Status CheckRanks(const TrainingConfig& config, int ranks) {
  const int64_t smallest =
      config.batch.warmup_batches > 0 ? config.batch.warmup_batches : config.batch.batches;
  if (smallest % ranks == 0) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} ranks cannot share {} batches evenly: batch.batches (and batch.warmup_batches) "
              "should be a multiple of the ranks",
              ranks, smallest);
}

Status CheckNoDecay(const TrainingConfig& config, const Parameters& weights) {
  for (const std::string& part : config.optimizer.no_decay) {
    bool matched = false;
    for (size_t i = 0; i < weights.size() && !matched; ++i) {
      matched = !IsDecayed(weights.tensor(i), {part});
    }
    if (!matched) {
      return Fail(ErrorCode::kInvalidArgument,
                  "optimizer.no_decay: no tensor's name contains \"{}\"", part);
    }
  }
  return {};
}

}  // namespace

Status Train(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
             Communicator& ranks) {
  FULMEN_TRY(CheckRanks(config, ranks.size()));
  const std::string& folder = config.output.folder;
  if (!options.resume) FULMEN_TRY(CheckFolderIsNew(folder));
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(config.run.kernels));
  FULMEN_ASSIGN(const Precision precision, PrecisionFromName(config.run.precision));
  FULMEN_ASSIGN(const TrainingKernels* training,
                SelectTrainingKernels(config.run.kernels, precision));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(TokenizerFolder(config.model)));
  FULMEN_ASSIGN(const Config geometry, GeometryOf(config, tokenizer));
  FULMEN_ASSIGN(StageData data, StageData::Open(config, TokenizerFingerprint(tokenizer)));

  std::optional<RunState> run;
  if (options.resume) {
    const auto say = [&](const std::string& sentence) {
      if (ranks.rank() == 0 && options.say) options.say(sentence);
    };
    FULMEN_ASSIGN(run, ResumeRun(config, say));
  }
  if (!run) {
    FULMEN_ASSIGN(run, BeginRun(config, geometry, pool));
  }
  FULMEN_ASSIGN(run->tokenizer, TokenizerFilesOf(config, tokenizer, data.chat_format()));
  FULMEN_TRY(CheckNoDecay(config, run->weights));
  FULMEN_TRY(ranks.Barrier());  // every rank has looked at the folder before it is written to
  std::error_code error;
  if (ranks.rank() == 0 && !fs::create_directories(folder, error) && error) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, error.message());
  }
  Trainer trainer(config, options, pool, ranks, *kernels, *training, std::move(data),
                  *std::move(run));
  return trainer.Run();
}

Result<std::string> DescribeRun(const TrainingConfig& config, int ranks) {
  FULMEN_TRY(CheckRanks(config, ranks));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(TokenizerFolder(config.model)));
  FULMEN_ASSIGN(const Config geometry, GeometryOf(config, tokenizer));
  FULMEN_ASSIGN(const StageData data, StageData::Open(config, TokenizerFingerprint(tokenizer)));
  const int64_t parameters = ParameterCount(geometry);
  // Weights, gradients and two moments, four bytes each.
  std::string text = fmt::format(
      "parameters {}, of which a token uses {} without embedding and head; {:.2f} GB for weights, "
      "gradients and moments, activations besides\n",
      parameters, ActiveParameterCount(geometry), static_cast<double>(parameters) * 16e-9);
  const TrainingPlan plan(config);
  int64_t first = 0;
  for (size_t stage = 0; stage < config.stages.size(); ++stage) {
    const int64_t end = plan.StageEnd(stage);
    const StageConfig& settings = config.stages[stage];
    text += fmt::format("stage {}: steps {} to {}, up to {:.4g} tokens in pieces of {}, from",
                        settings.name, first + 1, end,
                        plan.TokensFrom(first) - plan.TokensFrom(end), settings.max_length);
    for (const SourceConfig& source : settings.sources) {
      text += fmt::format(" {} ({} tokens)", source.path, data.dataset(source.path).tokens());
    }
    text += "\n";
    first = end;
  }
  return text + fmt::format("{} steps, up to {:.4g} tokens, on {} rank{}\n", plan.steps(),
                            plan.TokensFrom(0), ranks, ranks == 1 ? "" : "s");
}

}  // namespace fulmen
