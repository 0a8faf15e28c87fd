// The report of a run: one HTML file without scripts or anything to load.
#pragma once

#include <string>

#include "model/config.h"
#include "train/metrics.h"
#include "train/training_config.h"

namespace fulmen {

// Loss with held-out loss, learning rate, norm of the gradients, router losses, throughput and the
// load of experts over time, the totals and the config. `geometry` is the model's.
std::string RenderReport(const TrainingConfig& config, const Config& geometry,
                         const History& history);

}  // namespace fulmen
