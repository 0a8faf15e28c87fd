// What no single field of a training config can tell: contradictions between fields.
#pragma once

#include <set>
#include <string>

#include "base/status.h"
#include "train/training_config.h"

namespace fulmen {

// `given` holds the names of fields outside stages that the file or a flag set; `where` names the
// file in errors.
Status CheckTrainingConfig(const TrainingConfig& config, const std::set<std::string>& given,
                           const std::string& where);

}  // namespace fulmen
