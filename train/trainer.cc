#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/file_io.h"
#include "base/units.h"
#include "base/workspace.h"
#include "kernels/training_kernels.h"
#include "model/cost.h"
#include "model/training.h"
#include "model/vision.h"
#include "train/prepare.h"
#include "train/report.h"
#include "train/schedule.h"
#include "train/stage_data.h"
#include "train/training_memory.h"

namespace fulmen {
namespace {

// What the ranks add up after the batches of a step.
struct StepSums {
  double cross_entropy = 0;
  double auxiliary = 0;
  double z = 0;
  double dropped = 0;
  std::vector<double> choices;  // see Losses
  int stop = 0;                 // the signal of the first rank that was asked to stop

  Status Reduce(Communicator& ranks) {
    std::vector<double> all = {cross_entropy, auxiliary, z, dropped};
    all.insert(all.end(), choices.begin(), choices.end());
    const size_t signals = all.size();  // of every rank
    all.resize(signals + static_cast<size_t>(ranks.size()));
    all[signals + static_cast<size_t>(ranks.rank())] = stop;
    FULMEN_TRY(ranks.AllReduceSum(all));
    cross_entropy = all[0];
    auxiliary = all[1];
    z = all[2];
    dropped = all[3];
    const auto end = all.begin() + static_cast<int64_t>(signals);
    choices.assign(all.begin() + 4, end);
    const auto asked = std::find_if(end, all.end(), [](double signal) { return signal != 0; });
    stop = asked == all.end() ? 0 : static_cast<int>(*asked);
    return {};
  }
};

class Trainer {
 public:
  Trainer(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
          Communicator& ranks, const TrainingKernels& training, StageData data, RunState run)
      : config_(config),
        options_(options),
        ranks_(ranks),
        data_(std::move(data)),
        run_(std::move(run)),
        plan_(config),
        gradients_(run_.config),
        context_{pool, scratch_},
        compute_(training, context_) {}

  // To the end, or until it is asked to stop.
  Status Run();

 private:
  bool leads() const { return ranks_.rank() == 0; }
  void Say(const std::string& sentence) const {
    if (leads() && options_.say) options_.say(sentence);
  }
  void Warn(const std::string& sentence) const {
    if (leads() && options_.warn) options_.warn(sentence);
  }

  Status OpenLog();
  Status EnterStage(size_t stage);
  // One step, and everything that is due after it; true when the run was asked to stop.
  Result<bool> Advance();
  Result<StepMetrics> Step(const StepPlan& plan, bool& stop);
  // Floating-point operations of a batch, forward and back.
  double StepFlops(const PackedBatch& batch, int64_t predicted) const;
  // Losses and gradients of this rank's batches; gradients are summed over the ranks.
  Result<StepSums> Accumulate(const std::vector<PackedBatch>& batches, LossOptions options);
  // ForwardBackward, with the step named in errors.
  Result<Losses> LossesOf(const PackedBatch& batch, const LossOptions& options);
  // `predicted` and `tokens` are of all batches on all ranks.
  LossOptions StepLoss(double predicted, double tokens, int64_t batches) const;
  Status CheckFinite(const StepSums& sums, double norm) const;
  Status Evaluate();
  // The experts' load since the record before.
  Status RecordLoad();
  Status WriteReport() const;
  Status Checkpoint();
  Status Finish();

  const TrainingConfig& config_;
  const TrainingOptions& options_;
  Communicator& ranks_;
  StageData data_;
  RunState run_;
  const TrainingPlan plan_;
  Parameters gradients_;
  Workspace scratch_;
  KernelContext context_;
  Compute compute_;
  Weights weights_;                  // views of run_.weights
  Gradients gradient_views_;         // of gradients_
  Trained trained_ = Trained::kAll;  // of the stage
  std::optional<BatchStream> stream_;
  std::optional<MetricsLog> log_;  // on rank 0
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
      const std::string sentence = fmt::format(
          "stopped after step {} of {}; --resume goes on from there", run_.step, plan_.steps());
      Warn(sentence);  // before the others are let go: mpirun ends all when the first one fails
      FULMEN_TRY(ranks_.Barrier());
      return Fail(ErrorCode::kCancelled, "{}", sentence);
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
  if (!stream_ && !run_.stream.is_null()) FULMEN_TRY(stream.Restore(run_.stream));
  if (stream_ && data_.Continues(stage)) FULMEN_TRY(stream.Follow(stream_->State()));
  stream_.emplace(std::move(stream));
  run_.stage = stage;
  // Parsing has refused other names.
  trained_ = TrainedFromName(config_.stages[stage].trains).value_or(Trained::kAll);
  if (stream_->left_out() > 0) {
    Warn(fmt::format("stage {} leaves out {} documents with images, longer than max_length {}",
                     config_.stages[stage].name, stream_->left_out(),
                     config_.stages[stage].max_length));
  }
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
  if (due(config_.output.report_every)) FULMEN_TRY(RecordLoad());
  if (leads() && (due(config_.output.report_every) || stop)) FULMEN_TRY(WriteReport());
  if (due(config_.checkpoint.every) || stop) FULMEN_TRY(Checkpoint());
  return stop;
}

Status Trainer::Checkpoint() {
  run_.stream = stream_->State();
  if (!std::isfinite(GlobalNorm(compute_, run_.weights))) {
    return Fail(ErrorCode::kNonFinite, "step {}: a weight is not finite any more", run_.step);
  }
  if (leads()) {
    FULMEN_TRY(log_->Sync());
    FULMEN_TRY(SaveRun(config_, run_));
  }
  return ranks_.Barrier();
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
    totals[2] += StepFlops(batch, predicted);
  }
  FULMEN_TRY(ranks_.AllReduceSum(totals));
  FULMEN_ASSIGN(StepSums sums, Accumulate(batches, StepLoss(totals[0], totals[1], plan.batches)));
  if (options_.stop != nullptr) sums.stop = options_.stop->load();
  FULMEN_TRY(sums.Reduce(ranks_));
  const double norm = GlobalNorm(compute_, gradients_, trained_);
  FULMEN_TRY(CheckFinite(sums, norm));
  OptimizerOptions options = config_.optimizer;
  options.trained = trained_;
  options.learning_rate = plan.learning_rate;
  run_.optimizer.Step(options, compute_, gradients_, norm, run_.weights);
  for (size_t i = 0; i < run_.choices.size(); ++i) run_.choices[i] += sums.choices[i];
  stop = sums.stop != 0;
  if (stop && options_.stop != nullptr) options_.stop->store(sums.stop);

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

double Trainer::StepFlops(const PackedBatch& batch, int64_t predicted) const {
  double flops = 3 * PackedForwardFlops(run_.config, batch.starts, predicted);
  if (!batch.images.empty()) {
    const VisionConfig& vision = *run_.config.vision;
    const int64_t tiles =
        std::ssize(batch.images.patches) / (vision.patches() * vision.patch_values());
    flops += (trained_ == Trained::kProjector ? 1 : 3) * TowerFlops(vision, tiles);
  }
  return flops;
}

Result<StepSums> Trainer::Accumulate(const std::vector<PackedBatch>& batches, LossOptions options) {
  std::ranges::fill(gradients_.all(), 0.0F);
  StepSums sums;
  sums.choices.resize(run_.choices.size());
  std::vector<int64_t> capacity_choices(run_.choices.size());
  options.capacity_step.choices = capacity_choices;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (i + 1 == batches.size() && ranks_.size() > 1) {
      options.gradients_ready = [&](int64_t layer) -> Status {
        for (const std::span<float> piece : gradients_.LayerPieces(layer)) {
          FULMEN_TRY(ranks_.StartAllReduceSum(piece));
        }
        return {};
      };
    }
    FULMEN_ASSIGN(const Losses losses, LossesOf(batches[i], options));
    sums.cross_entropy += losses.cross_entropy;
    sums.auxiliary += options.step_share * losses.auxiliary;
    sums.z += options.step_share * losses.z;
    sums.dropped += options.step_share * losses.dropped;
    for (size_t e = 0; e < sums.choices.size(); ++e) sums.choices[e] += losses.choices[e];
  }
  FULMEN_TRY(ranks_.FinishAllReduces());
  return sums;
}

Result<Losses> Trainer::LossesOf(const PackedBatch& batch, const LossOptions& options) {
  Result<Losses> losses =
      ForwardBackward(run_.config, weights_, compute_, batch, options, gradient_views_);
  if (!losses) {
    return Fail(losses.error().code, "step {}: {}", run_.step + 1, losses.error().message);
  }
  return losses;
}

LossOptions Trainer::StepLoss(double predicted, double tokens, int64_t batches) const {
  LossOptions options;
  options.auxiliary = static_cast<float>(config_.loss.auxiliary);
  options.z = static_cast<float>(config_.loss.z);
  options.step_predicted_tokens = static_cast<int64_t>(predicted);
  options.step_share = 1.0F / static_cast<float>(batches);
  options.recompute = config_.batch.recompute;
  options.vision_tower = trained_ != Trained::kProjector;
  options.capacity = static_cast<float>(config_.loss.capacity);
  options.capacity_step = {static_cast<int64_t>(tokens), {}, &ranks_};
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

Status Trainer::Evaluate() {
  FULMEN_ASSIGN(BatchStream stream, data_.HeldOut());
  LossOptions options;
  options.auxiliary = 0;
  std::vector<double> sums(2);  // of the losses, of their number
  for (int64_t i = 0; i < config_.evaluation.batches; ++i) {
    if (i % ranks_.size() != ranks_.rank()) {
      stream.Skip();
      continue;
    }
    const PackedBatch batch = stream.Next();
    FULMEN_ASSIGN(const Losses losses,
                  ForwardLosses(run_.config, weights_, compute_, batch, options));
    const auto predicted = static_cast<double>(batch.PredictedTokens());
    sums[0] += losses.cross_entropy * predicted;
    sums[1] += predicted;
  }
  FULMEN_TRY(ranks_.AllReduceSum(sums));
  const HeldOutLoss held_out{run_.step, sums[0] / sums[1]};
  Say(fmt::format("step {}: held-out loss {:.4f}", run_.step, held_out.cross_entropy));
  return leads() ? log_->Add(held_out) : Status();
}

Status Trainer::RecordLoad() {
  const auto experts = static_cast<size_t>(run_.config.experts);
  ExpertLoad load{run_.step, {}};
  for (size_t first = 0; first < run_.choices.size(); first += experts) {
    double sum = 0;
    for (size_t e = 0; e < experts; ++e) sum += run_.choices[first + e];
    std::vector<double>& shares = load.shares.emplace_back();
    for (size_t e = 0; e < experts; ++e) shares.push_back(run_.choices[first + e] / sum);
  }
  std::ranges::fill(run_.choices, 0.0);
  return leads() ? log_->Add(load) : Status();
}

Status Trainer::WriteReport() const {
  return WriteFileAtomically(config_.output.folder + "/report.html",
                             RenderReport(config_, run_.config, log_->history()));
}

Status Trainer::Finish() {
  if (leads()) {
    const DType type = config_.output.type == "float32" ? DType::kF32 : DType::kBF16;
    FULMEN_TRY(WriteModelFolder(run_.config, run_.weights, type, run_.tokenizer,
                                config_.output.folder + "/model"));
  }
  Say(fmt::format("{} steps, {} tokens: the model is in {}/model", run_.step,
                  HumanCount(run_.tokens), config_.output.folder));
  return ranks_.Barrier();
}

}  // namespace

Status Train(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
             Communicator& ranks) {
  const auto warn = [&](const std::string& sentence) {
    if (ranks.rank() == 0 && options.warn) options.warn(sentence);
  };
  FULMEN_TRY(CheckRanks(config, ranks.size()));
  FULMEN_ASSIGN(const std::optional<RunLock> lock, LockRun(config.output.folder, ranks, warn));
  if (options.start == RunStart::kNew) FULMEN_TRY(CheckFolderIsNew(config.output.folder));
  FULMEN_ASSIGN(const Precision precision, PrecisionFromName(config.run.precision));
  FULMEN_ASSIGN(const TrainingKernels* training,
                SelectTrainingKernels(config.run.kernels, precision));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(TokenizerFolder(config.model)));
  FULMEN_ASSIGN(const Config geometry, GeometryOf(config, tokenizer));
  FULMEN_TRY(CheckRunMemory(config, geometry));
  FULMEN_ASSIGN(StageData data,
                StageData::Open(config, TokenizerFingerprint(tokenizer), geometry.vision));
  FULMEN_ASSIGN(ResumedRun run, StartRun(config, options.start, geometry, pool, warn));
  FULMEN_ASSIGN(run.state.tokenizer, TokenizerFilesOf(config, tokenizer, data.chat_format()));
  FULMEN_TRY(CheckNoDecay(config, run.state.weights));
  FULMEN_TRY(CheckSameStep(run.state.step, ranks));
  // Every rank has looked at the folder; now it may be written to.
  if (ranks.rank() == 0) FULMEN_TRY(ClearCheckpoints(config, run.passed_over));
  Trainer trainer(config, options, pool, ranks, *training, std::move(data), std::move(run.state));
  return trainer.Run();
}

}  // namespace fulmen
