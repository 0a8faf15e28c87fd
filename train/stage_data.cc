#include "train/stage_data.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/random.h"
#include "train/schedule.h"

namespace fulmen {

Result<StageData> StageData::Open(const TrainingConfig& config, const std::string& tokenizer,
                                  std::optional<VisionConfig> vision) {
  StageData data(config, std::move(vision));
  for (const StageConfig& stage : config.stages) {
    for (const SourceConfig& source : stage.sources) {
      FULMEN_TRY(data.Add(source.path, tokenizer));
    }
  }
  if (!config.evaluation.data.empty()) FULMEN_TRY(data.Add(config.evaluation.data, tokenizer));
  // What a stream refuses should be known before the first stage is trained.
  for (size_t stage = 0; stage < config.stages.size(); ++stage) FULMEN_TRY(data.Stream(stage));
  if (!config.evaluation.data.empty()) FULMEN_TRY(data.HeldOut());
  return data;
}

Status StageData::Add(const std::string& path, const std::string& tokenizer) {
  if (datasets_.contains(path)) return {};
  FULMEN_ASSIGN(Dataset dataset, Dataset::Open(path));
  if (dataset.tokenizer() != tokenizer) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the dataset was made with another tokenizer than the run's ({}, not {})", path,
                dataset.tokenizer(), tokenizer);
  }
  FULMEN_TRY(CheckImages(dataset, path));
  datasets_[path] = std::make_unique<const Dataset>(std::move(dataset));
  return {};
}

Status StageData::CheckImages(const Dataset& dataset, const std::string& path) const {
  if (dataset.images() == 0) return {};
  if (!vision_) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: data without images are expected for a model of text, found {}", path,
                dataset.images());
  }
  const TileRules& made = dataset.tiles();
  const TileRules& wanted = vision_->tiles;
  const bool same_sides = made.tile == wanted.tile && made.patch == wanted.patch;
  if (same_sides && made.pinpoints == wanted.pinpoints) return {};
  return Fail(
      ErrorCode::kInvalidArgument,
      "{}: the images were cut into tiles of {} with patches of {}, the model reads tiles of "
      "{} with patches of {}{}",
      path, made.tile, made.patch, wanted.tile, wanted.patch, same_sides ? " in other grids" : "");
}

bool StageData::Continues(size_t stage) const {
  const auto same_path = [](const SourceConfig& a, const SourceConfig& b) {
    return a.path == b.path;
  };
  return stage > 0 && std::ranges::equal(config_->stages[stage].sources,
                                         config_->stages[stage - 1].sources, same_path);
}

BatchStreamOptions StageData::StreamOptions() const {
  BatchStreamOptions options{.batch_tokens = 0, .max_length = 0};
  if (vision_) options.normalisation = vision_->normalisation;
  return options;
}

BatchStreamOptions StageData::StreamOptions(size_t stage) const {
  const StageConfig& settings = config_->stages[stage];
  BatchStreamOptions options = StreamOptions();
  options.batch_tokens = StageBatchTokens(*config_, settings);
  options.max_length = settings.max_length;
  // A stage with other sources reads those it shares with earlier ones in a new order.
  while (Continues(stage)) --stage;
  options.seed = MixSeed({static_cast<uint64_t>(config_->run.seed), stage});
  return options;
}

Result<BatchStream> StageData::Stream(size_t stage) const {
  std::vector<MixtureSource> sources;
  for (const SourceConfig& source : config_->stages[stage].sources) {
    sources.push_back({datasets_.at(source.path).get(), source.weight});
  }
  return BatchStream::Create(std::move(sources), StreamOptions(stage));
}

std::optional<ChatFormat> StageData::chat_format() const {
  std::optional<ChatFormat> format;
  for (const StageConfig& stage : config_->stages) {
    for (const SourceConfig& source : stage.sources) {
      if (dataset(source.path).chat_format()) format = dataset(source.path).chat_format();
    }
  }
  return format;
}

Result<BatchStream> StageData::HeldOut() const {
  BatchStreamOptions options = StreamOptions();
  for (const StageConfig& stage : config_->stages) {
    options.batch_tokens = std::max(options.batch_tokens, StageBatchTokens(*config_, stage));
    options.max_length = std::max(options.max_length, stage.max_length);
  }
  return BatchStream::Create({{datasets_.at(config_->evaluation.data).get(), 1}}, options);
}

}  // namespace fulmen
