#include "train/sweep.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/file_io.h"
#include "model/cost.h"
#include "train/run_setup.h"
#include "train/schedule.h"
#include "train/sweep_report.h"
#include "train/training_check.h"

namespace fulmen {
namespace {

constexpr std::array<std::string_view, 3> kKinds = {"softmax", "lightning", "hybrid"};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t comma = 0; comma != std::string::npos; begin = comma + 1) {
    comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
  }
  return parts;
}

std::string SizeName(const SweepSize& size) {
  return fmt::format("{}x{}", size.hidden, size.layers);
}

// A whole number at the front of `text`, which is taken off; 0 where there is none.
int64_t TakeNumber(std::string_view& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return 0;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

Status CheckSweepable(const TrainingConfig& config) {
  const auto refuse = [](std::string_view why) {
    return Fail(ErrorCode::kInvalidArgument, "a sweep cannot be made of this config: {}", why);
  };
  if (!config.model.init.empty()) return refuse("model.init has a size of its own");
  if (!config.model.attn_type_list.empty()) {
    return refuse(
        "model.attn_type_list is for one number of layers; softmax_every says it for any");
  }
  if (config.schedule.kind != "constant") {
    return refuse(
        fmt::format("schedule.kind should be constant, so that every point of a curve is "
                    "a model that was trained until there, found {}",
                    config.schedule.kind));
  }
  if (config.evaluation.data.empty()) {
    return refuse("evaluation.data is missing, the held-out text whose loss is compared");
  }
  return {};
}

// `value` in the ratio of the config, where that is a whole number.
Result<int64_t> Scale(std::string_view field, int64_t value, const SweepSize& size,
                      int64_t config_hidden) {
  if (value * size.hidden % config_hidden == 0) return value * size.hidden / config_hidden;
  return Fail(ErrorCode::kInvalidArgument,
              "size {} has no whole model.{}: the config has {} at hidden_size {}", SizeName(size),
              field, value, config_hidden);
}

Result<ModelSection> ModelOf(const ModelSection& base, const SweepSize& size,
                             const std::string& kind) {
  ModelSection model = base;
  FULMEN_ASSIGN(model.heads, Scale("heads", base.heads, size, base.hidden_size));
  FULMEN_ASSIGN(model.kv_heads, Scale("kv_heads", base.kv_heads, size, base.hidden_size));
  // Rounded to what vectors like: nothing depends on the exact width.
  const double width = static_cast<double>(base.intermediate_size * size.hidden) /
                       static_cast<double>(base.hidden_size);
  model.intermediate_size = std::max<int64_t>(8, 8 * std::llround(width / 8));
  model.hidden_size = size.hidden;
  model.layers = size.layers;
  if (kind == "softmax") model.softmax_every = 1;
  if (kind == "lightning") model.softmax_every = 0;
  if (kind == "hybrid" && (base.softmax_every < 2 || base.softmax_every > size.layers)) {
    return Fail(ErrorCode::kInvalidArgument,
                "hybrid-{} needs layers of both kinds: model.softmax_every should be 2 to {}, "
                "found {}",
                SizeName(size), size.layers, base.softmax_every);
  }
  return model;
}

double PlannedFlops(const TrainingConfig& config, const Config& geometry) {
  const TrainingPlan plan(config);
  double flops = 0;
  int64_t first = 0;
  for (size_t stage = 0; stage < config.stages.size(); ++stage) {
    const int64_t end = plan.StageEnd(stage);
    const int64_t length = config.stages[stage].max_length;
    flops += 3 * ForwardFlops(geometry, length, 0, length) / static_cast<double>(length) *
             (plan.TokensFrom(first) - plan.TokensFrom(end));
    first = end;
  }
  return flops;
}

// The time all runs still take, at the pace of the run under way.
double SecondsLeft(const std::vector<SweepRun>& runs, size_t current,
                   const TrainingProgress& progress) {
  double later = 0;
  for (size_t i = current + 1; i < runs.size(); ++i) later += runs[i].flops;
  const double seconds = progress.metrics.seconds + progress.seconds_left;
  return progress.seconds_left + seconds * later / runs[current].flops;
}

Result<SweepRecord> ReadRecord(const SweepRun& run) {
  FULMEN_ASSIGN(const History history, ReadHistory(run.config.output.folder + "/metrics.jsonl"));
  SweepRecord record{run.kind, {run.size, run.parameters, {}}};
  record.curve.points = HeldOutCurve(history, run.config.schedule.warmup_steps);
  for (const StepMetrics& step : history.steps) {
    record.tokens = step.tokens;
    record.flops += step.flops;
    record.seconds = step.seconds;
  }
  return record;
}

Scaling Analyse(const std::vector<SweepRecord>& runs) {
  std::vector<KindCurves> kinds;
  for (const std::string_view kind : kKinds) {
    KindCurves curves{std::string(kind), {}};
    for (const SweepRecord& run : runs) {
      if (run.kind == kind) curves.sizes.push_back(run.curve);
    }
    if (!curves.sizes.empty()) kinds.push_back(std::move(curves));
  }
  return AnalyseScaling(kinds);
}

Status WriteSweep(const Sweep& sweep) {
  const std::string& folder = sweep.config.output.folder;
  FULMEN_TRY(WriteFileAtomically(folder + "/sweep.json", SweepJson(sweep).dump(1) + "\n"));
  return WriteFileAtomically(folder + "/sweep.html", SweepPage(sweep));
}

}  // namespace

Result<std::vector<SweepSize>> ParseSweepSizes(const std::string& text) {
  std::vector<SweepSize> sizes;
  for (const std::string& part : Split(text)) {
    std::string_view rest = part;
    SweepSize size;
    size.hidden = TakeNumber(rest);
    const bool crossed = rest.starts_with('x');
    if (crossed) rest.remove_prefix(1);
    size.layers = TakeNumber(rest);
    constexpr int64_t kMost = 1 << 19;
    if (!crossed || !rest.empty() || size.hidden < 1 || size.layers < 1 || size.hidden > kMost ||
        size.layers > kMost) {
      return Fail(ErrorCode::kInvalidArgument,
                  "should be HIDDENxLAYERS, as in 64x8,96x8, found \"{}\"", part);
    }
    if (std::ranges::find(sizes, size) != sizes.end()) {
      return Fail(ErrorCode::kInvalidArgument, "should name a size once, found {} twice", part);
    }
    sizes.push_back(size);
  }
  return sizes;
}

std::vector<SweepSize> DefaultSweepSizes(const ModelSection& model) {
  // One group of query heads with its key-value head is the least a model can grow by.
  const int64_t groups = model.kv_heads;
  std::vector<SweepSize> sizes;
  for (const int64_t scaled :
       {std::max<int64_t>(1, (2 * groups + 1) / 3), groups, (3 * groups + 1) / 2}) {
    const SweepSize size{model.hidden_size * scaled / groups, model.layers};
    if (std::ranges::find(sizes, size) == sizes.end()) sizes.push_back(size);
  }
  return sizes;
}

Result<std::vector<std::string>> ParseSweepKinds(const std::string& text) {
  std::vector<std::string> kinds;
  for (const std::string& part : Split(text)) {
    if (std::ranges::find(kKinds, part) == kKinds.end()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "should be some of softmax, lightning, hybrid, found \"{}\"", part);
    }
    if (std::ranges::find(kinds, part) == kinds.end()) kinds.push_back(part);
  }
  return kinds;
}

Result<std::vector<SweepRun>> PlanSweep(const TrainingConfig& config,
                                        const std::vector<SweepSize>& sizes,
                                        const std::vector<std::string>& kinds) {
  FULMEN_TRY(CheckSweepable(config));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(TokenizerFolder(config.model)));
  std::vector<SweepRun> runs;
  for (const SweepSize& size : sizes) {
    for (const std::string& kind : kinds) {
      SweepRun run{kind, SizeName(size), config};
      FULMEN_ASSIGN(run.config.model, ModelOf(config.model, size, kind));
      run.config.output.folder = fmt::format("{}/{}", config.output.folder, run.name());
      FULMEN_TRY(CheckTrainingConfig(run.config, {}, run.name()));
      FULMEN_ASSIGN(const Config geometry, GeometryOf(run.config, tokenizer));
      run.parameters = static_cast<double>(ActiveParameterCount(geometry));
      run.flops = PlannedFlops(run.config, geometry);
      runs.push_back(std::move(run));
    }
  }
  std::ranges::stable_sort(runs, {}, &SweepRun::parameters);
  return runs;
}

std::vector<CurvePoint> HeldOutCurve(const History& history, int64_t warmup_steps) {
  std::vector<CurvePoint> curve;
  double flops = 0;
  auto step = history.steps.begin();
  for (const HeldOutLoss& held_out : history.held_out) {
    for (; step != history.steps.end() && step->step <= held_out.step; ++step) flops += step->flops;
    if (held_out.step <= warmup_steps || step == history.steps.begin()) continue;
    curve.push_back({flops / kPflopDay, (step - 1)->tokens, held_out.cross_entropy});
  }
  return curve;
}

Result<Sweep> RunSweep(const TrainingConfig& config, const std::vector<SweepRun>& runs,
                       const SweepOptions& options, ThreadPool& pool, Communicator& ranks) {
  const std::string& folder = config.output.folder;
  const auto warn = [&](const std::string& sentence) {
    if (ranks.rank() == 0 && options.warn) options.warn(sentence);
  };
  FULMEN_ASSIGN(const std::optional<RunLock> lock, LockRun(folder, ranks, warn));
  if (options.start == RunStart::kNew) FULMEN_TRY(CheckFolderIsNew(folder));
  if (options.start == RunStart::kResume && IsNewFolder(folder)) {
    return Fail(ErrorCode::kNotFound,
                "{} has no sweep to go on with; --resume-or-start begins anew then", folder);
  }
  FULMEN_TRY(ranks.Barrier());  // every rank has looked at the folder before it is written to
  Sweep sweep{config, {}, {}};
  for (size_t i = 0; i < runs.size(); ++i) {
    const SweepRun& run = runs[i];
    TrainingOptions training;
    training.start = options.start == RunStart::kNew ? RunStart::kNew : RunStart::kResumeOrNew;
    const auto naming_run = [&](const std::function<void(const std::string&)>& tell) {
      return [&, tell](const std::string& sentence) {
        if (!tell) return;
        tell(fmt::format("run {} of {}, {}: {}", i + 1, runs.size(), run.name(), sentence));
      };
    };
    training.say = naming_run(options.say);
    training.warn = naming_run(options.warn);
    training.peak_flops = options.peak_flops;
    training.stop = options.stop;
    training.progress = [&](const TrainingProgress& progress) {
      if (!options.progress) return;
      options.progress({run, i + 1, progress, SecondsLeft(runs, i, progress)});
    };
    if (const Status status = Train(run.config, training, pool, ranks); !status) {
      return Fail(status.error().code, "run {} of {}, {}: {}", i + 1, runs.size(), run.name(),
                  status.error().message);
    }
    if (ranks.rank() != 0) continue;
    FULMEN_ASSIGN(SweepRecord record, ReadRecord(run));
    sweep.runs.push_back(std::move(record));
    sweep.scaling = Analyse(sweep.runs);
    FULMEN_TRY(WriteSweep(sweep));
  }
  return sweep;
}

}  // namespace fulmen
