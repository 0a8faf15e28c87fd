#include "train/training_config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>

#include "base/file_io.h"
#include "base/nearest_name.h"
#include "base/parse_number.h"
#include "train/training_check.h"
#include "train/training_fields.h"

namespace fulmen {
namespace {

std::string Shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  std::string text = out.str();
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string At(const std::string& where, const toml::node& node) {
  const auto line = node.source().begin.line;
  return line > 0 ? fmt::format("{}:{}", where, line) : where;
}

Result<toml::table> ParseToml(const std::string& text, const std::string& where) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return Fail(ErrorCode::kInvalidArgument, "{}:{}: {}", where, error.source().begin.line,
                error.description());
  }
}

// Reads one value into a field. `name` is the field's whole name, `where` file and line or flag.
class FieldReader {
 public:
  FieldReader(const Field& field, std::string name, std::string where)
      : field_(field), name_(std::move(name)), where_(std::move(where)) {}

  Status Read(const toml::node& node) const {
    return std::visit([&](auto* value) { return Into(*value, node); }, field_.value);
  }

 private:
  Status Refuse(const toml::node& node) const {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} should be {}, found {}", where_, name_,
                FieldKind(field_.value), Shown(node));
  }
  Status CheckRange(double number) const {
    if (number >= field_.low && number <= field_.high) return {};
    return Fail(ErrorCode::kInvalidArgument, "{}: {} should be from {:g} to {:g}, found {:g}",
                where_, name_, field_.low, field_.high, number);
  }

  Status Into(bool& value, const toml::node& node) const {
    if (!node.is_boolean()) return Refuse(node);
    value = node.as_boolean()->get();
    return {};
  }
  Status Into(int64_t& value, const toml::node& node) const {
    if (!node.is_integer()) return Refuse(node);
    value = node.as_integer()->get();
    return CheckRange(static_cast<double>(value));
  }
  Status Into(double& value, const toml::node& node) const {
    if (!node.is_number()) return Refuse(node);
    value = *node.value<double>();
    return CheckRange(value);
  }
  Status Into(std::string& value, const toml::node& node) const {
    if (!node.is_string()) return Refuse(node);
    value = node.as_string()->get();
    if (!field_.choices.empty() &&
        std::find(field_.choices.begin(), field_.choices.end(), value) == field_.choices.end()) {
      std::string known;
      for (const std::string_view choice : field_.choices) {
        known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", choice);
      }
      return Fail(ErrorCode::kInvalidArgument, "{}: {} should be one of {}, found \"{}\"", where_,
                  name_, known, value);
    }
    return {};
  }
  template <class T>
  Status Into(std::vector<T>& values, const toml::node& node) const {
    if (!node.is_array()) return Refuse(node);
    values.clear();
    for (const toml::node& entry : *node.as_array()) {
      FULMEN_TRY(Into(values.emplace_back(), entry));
    }
    return {};
  }
  Status Into(SourceConfig& source, const toml::node& node) const {
    const toml::table* table = node.as_table();
    if (table == nullptr || !table->get("path")) return Refuse(node);
    for (const auto& [key, value] : *table) {
      if (key == "path" && value.is_string()) {
        source.path = value.as_string()->get();
      } else if (key == "weight" && value.is_number() && *value.value<double>() > 0 &&
                 *value.value<double>() < 1e9) {
        source.weight = *value.value<double>();
      } else {
        return Fail(ErrorCode::kInvalidArgument,
                    "{}: an entry of {} should have a path in quotes and a weight above 0, found "
                    "{} = {}",
                    where_, name_, key.str(), Shown(value));
      }
    }
    return {};
  }

  const Field& field_;
  std::string name_;
  std::string where_;
};

Result<const Field*> FindField(const Section& section, std::string_view name,
                               const std::string& where) {
  std::vector<std::string_view> known;
  for (const Field& field : section.fields) {
    if (field.name == name) return &field;
    known.push_back(field.name);
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{}: [{}] has no field \"{}\"; the nearest name is \"{}\"", where, section.name, name,
              NearestName(name, known));
}

Result<const Section*> FindSection(const std::vector<Section>& sections, std::string_view name,
                                   const std::string& where) {
  std::vector<std::string_view> known = {"stages"};
  for (const Section& section : sections) {
    if (section.name == name) return &section;
    known.push_back(section.name);
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{}: there is no section \"{}\"; the nearest name is \"{}\"", where, name,
              NearestName(name, known));
}

Status ReadSection(const Section& section, const toml::table& table, const std::string& where,
                   std::set<std::string>& given) {
  for (const auto& [key, node] : table) {
    const std::string line = At(where, node);
    FULMEN_ASSIGN(const Field* field, FindField(section, key.str(), line));
    const std::string name = fmt::format("{}.{}", section.name, key.str());
    FULMEN_TRY(FieldReader(*field, name, line).Read(node));
    given.insert(name);
  }
  return {};
}

Status ReadStages(const toml::node& node, const std::string& where,
                  std::vector<StageConfig>& stages) {
  if (!node.is_array_of_tables()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: stages should be tables that begin with [[stages]], found {}", At(where, node),
                Shown(node));
  }
  std::set<std::string> ignored;
  for (const toml::node& entry : *node.as_array()) {
    const Section section = StageSection(stages.emplace_back());
    FULMEN_TRY(ReadSection(section, *entry.as_table(), where, ignored));
  }
  return {};
}

Status ReadRoot(const toml::table& root, const std::string& where, TrainingConfig& config,
                std::set<std::string>& given) {
  const std::vector<Section> sections = TrainingSections(config);
  for (const auto& [key, node] : root) {
    if (key == "stages") {
      FULMEN_TRY(ReadStages(node, where, config.stages));
      continue;
    }
    FULMEN_ASSIGN(const Section* section, FindSection(sections, key.str(), At(where, node)));
    if (!node.is_table()) {
      return Fail(ErrorCode::kInvalidArgument, "{}: {} should be a section [{}], found {}",
                  At(where, node), key.str(), key.str(), Shown(node));
    }
    FULMEN_TRY(ReadSection(*section, *node.as_table(), where, given));
  }
  return {};
}

Result<Section> FindStage(std::string_view name, const std::string& where,
                          std::vector<StageConfig>& stages) {
  for (StageConfig& stage : stages) {
    if (stage.name == name) return StageSection(stage);
  }
  return Fail(ErrorCode::kInvalidArgument, "{}: there is no stage called \"{}\"", where, name);
}

template <class T>
Status ReadNumber(const FieldReader& reader, const std::string& flag, const std::string& value) {
  const Result<T> number = ParseNumber<T>(value);
  if (number) return reader.Read(toml::value(*number));
  return Fail(ErrorCode::kInvalidArgument, "{} {}", flag, number.error().message);
}

// Texts are taken as they are, and numbers are those of every other option of the command line
// (toml++ takes 0x10 and 1_000, and refuses 010); everything else is TOML.
Status ReadFlag(const Field& field, const Override& given_flag, const std::string& flag) {
  const auto& [name, value] = given_flag;
  const FieldReader reader(field, name, flag);
  if (std::holds_alternative<int64_t*>(field.value)) {
    return ReadNumber<int64_t>(reader, flag, value);
  }
  if (std::holds_alternative<double*>(field.value)) return ReadNumber<double>(reader, flag, value);
  const bool text = std::holds_alternative<std::string*>(field.value);
  std::string copy = value;
  const Result<toml::table> table =
      ParseToml("value = " + (text ? FormatField(&copy) : value), flag);
  if (table && table->size() == 1) return reader.Read(*table->get("value"));
  return Fail(ErrorCode::kInvalidArgument, "{}: {} should be {}, found {}", flag, name,
              FieldKind(field.value), value);
}

Status ApplyOverride(const Override& given_flag, TrainingConfig& config,
                     std::set<std::string>& given) {
  const std::string flag = "--" + given_flag.first;
  const size_t dot = given_flag.first.rfind('.');
  if (dot == std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected --SECTION.FIELD VALUE", flag);
  }
  const std::string section_name = given_flag.first.substr(0, dot);
  const std::string field_name = given_flag.first.substr(dot + 1);
  const std::vector<Section> sections = TrainingSections(config);
  Section section;
  if (section_name.starts_with("stages.")) {
    FULMEN_ASSIGN(section, FindStage(section_name.substr(7), flag, config.stages));
  } else {
    FULMEN_ASSIGN(const Section* found, FindSection(sections, section_name, flag));
    section = *found;
  }
  FULMEN_ASSIGN(const Field* field, FindField(section, field_name, flag));
  given.insert(given_flag.first);
  return ReadFlag(*field, given_flag, flag);
}

void AppendSection(const Section& section, std::string_view header, std::string& text) {
  text += fmt::format("\n# {}\n{}\n", section.documentation, header);
  for (const Field& field : section.fields) {
    text +=
        fmt::format("# {}\n{} = {}\n", field.documentation, field.name, FormatField(field.value));
  }
}

// Whether another field of the section stands in place of this one.
bool IsOverruled(std::string_view field, const ModelSection& model) {
  if (!model.init.empty()) return field != "init" && field != "tokenizer";
  return !model.attn_type_list.empty() && field == "softmax_every";
}

}  // namespace

Result<TrainingConfig> ParseTrainingConfig(const std::string& text, const std::string& where,
                                           std::span<const Override> overrides) {
  TrainingConfig config;
  std::set<std::string> given;
  FULMEN_ASSIGN(const toml::table root, ParseToml(text, where));
  FULMEN_TRY(ReadRoot(root, where, config, given));
  for (const Override& flag : overrides) FULMEN_TRY(ApplyOverride(flag, config, given));
  FULMEN_TRY(CheckTrainingConfig(config, given, where));
  return config;
}

Result<TrainingConfig> ReadTrainingConfig(const std::string& path,
                                          std::span<const Override> overrides) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  return ParseTrainingConfig(text, path, overrides);
}

std::string WriteTrainingConfig(const TrainingConfig& config) {
  TrainingConfig copy = config;  // the table points at values it could change
  std::string text = "# A run of `fulmen train`. Folders are relative to where it is started.\n";
  for (Section& section : TrainingSections(copy)) {
    if (section.name == "model") {
      std::erase_if(section.fields,
                    [&](const Field& field) { return IsOverruled(field.name, config.model); });
    }
    AppendSection(section, fmt::format("[{}]", section.name), text);
  }
  for (StageConfig& stage : copy.stages) AppendSection(StageSection(stage), "[[stages]]", text);
  return text;
}

TrainingConfig ExampleTrainingConfig() {
  TrainingConfig config;
  config.model.tokenizer = "path/to/tokenizer";
  config.output.folder = "path/to/run";
  StageConfig& stage = config.stages.emplace_back();
  stage.name = "main";
  stage.steps = 10000;
  stage.sources = {{"path/to/dataset", 1}};
  return config;
}

}  // namespace fulmen
