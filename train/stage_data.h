// The datasets of a run and the streams that read them, stage by stage.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "model/vision_config.h"
#include "train/batch_stream.h"
#include "train/dataset.h"
#include "train/training_config.h"

namespace fulmen {

// Not thread safe. Movable; streams point into it.
class StageData {
 public:
  // Opens every dataset of the config, each once. Refuses those another tokenizer made; `tokenizer`
  // is the TokenizerFingerprint of the run's. Refuses images for a model of text, which has no
  // `vision`, and those cut for another model. `config` must outlive the result.
  static Result<StageData> Open(const TrainingConfig& config, const std::string& tokenizer,
                                std::optional<VisionConfig> vision = {});

  // The stream of a stage, from its beginning. A stage with the sources of the one before it goes
  // on where that stopped: give it that stream's State() with Follow.
  Result<BatchStream> Stream(size_t stage) const;
  // Whether the sources of the stage are those of the one before.
  bool Continues(size_t stage) const;

  // The same batches every time, whatever the stage and the seed of the run, so that losses can be
  // compared: as long and as large as those of the longest and the largest stage.
  Result<BatchStream> HeldOut() const;

  // Of the last stage that has chats: how the model is to be talked to in the end. nullopt: none.
  std::optional<ChatFormat> chat_format() const;

  const Dataset& dataset(const std::string& path) const { return *datasets_.at(path); }

 private:
  StageData(const TrainingConfig& config, std::optional<VisionConfig> vision)
      : config_(&config), vision_(std::move(vision)) {}
  Status Add(const std::string& path, const std::string& tokenizer);
  Status CheckImages(const Dataset& dataset, const std::string& path) const;
  // Without lengths.
  BatchStreamOptions StreamOptions() const;
  BatchStreamOptions StreamOptions(size_t stage) const;

  const TrainingConfig* config_;
  std::optional<VisionConfig> vision_;
  std::map<std::string, std::unique_ptr<const Dataset>> datasets_;
};

}  // namespace fulmen
