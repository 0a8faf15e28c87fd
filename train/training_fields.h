// The table of all fields of a training config, which parsing, flags, help, printing and checking
// walk.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/training_config.h"

namespace fulmen {

// Points at the field of one config.
using FieldValue = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*,
                                std::vector<std::string>*, std::vector<std::vector<int64_t>>*,
                                std::vector<SourceConfig>*>;

// Whether a run that is resumed may change a field. It may not where the weights so far would mean
// something else, or the data already read would be others.
enum class OnResume : uint8_t { kFixed, kFree };

struct Field {
  std::string_view name;
  FieldValue value;
  OnResume on_resume;
  std::string_view documentation;  // a phrase or two, on one line
  // Numbers (each entry of lists of them): both ends included.
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::vector<std::string_view> choices = {};  // of texts; empty: any
};

struct Section {
  std::string_view name;
  std::string_view documentation;
  std::vector<Field> fields;
};

// Every section but the stages, bound to `config`, which must outlive the result.
std::vector<Section> TrainingSections(TrainingConfig& config);
// One entry of [[stages]].
Section StageSection(StageConfig& stage);

// A value as TOML.
std::string FormatField(const FieldValue& value);
// What kind of value a field takes, e.g. "a whole number".
std::string_view FieldKind(const FieldValue& value);

}  // namespace fulmen
