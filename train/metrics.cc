#include "train/metrics.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <utility>

#include "base/file_io.h"
#include "base/json.h"

namespace fulmen {
namespace {

// Doubles of a line, by name.
constexpr std::array<std::pair<const char*, double StepMetrics::*>, 12> kNumbers = {{
    {"tokens", &StepMetrics::tokens},
    {"seconds", &StepMetrics::seconds},
    {"loss", &StepMetrics::loss},
    {"cross_entropy", &StepMetrics::cross_entropy},
    {"auxiliary", &StepMetrics::auxiliary},
    {"z", &StepMetrics::z},
    {"dropped", &StepMetrics::dropped},
    {"gradient_norm", &StepMetrics::gradient_norm},
    {"learning_rate", &StepMetrics::learning_rate},
    {"tokens_per_second", &StepMetrics::tokens_per_second},
    {"flops", &StepMetrics::flops},
    {"peak_share", &StepMetrics::peak_share},
}};

Json ToJson(const StepMetrics& metrics) {
  Json json = {{"step", metrics.step}, {"stage", metrics.stage}};
  for (const auto& [name, member] : kNumbers) json[name] = metrics.*member;
  return json;
}

Json ToJson(const HeldOutLoss& held_out) {
  return {{"step", held_out.step}, {"held_out", held_out.cross_entropy}};
}

Json ToJson(const ExpertLoad& load) { return {{"step", load.step}, {"expert_load", load.shares}}; }

// Files this program wrote; a foreign line is an exception of the JSON library, caught below.
void AddLine(const Json& json, History& history) {
  const auto step = json.at("step").get<int64_t>();
  if (json.contains("held_out")) {
    history.held_out.push_back({step, json["held_out"].get<double>()});
  } else if (json.contains("expert_load")) {
    history.loads.push_back({step, json["expert_load"].get<std::vector<std::vector<double>>>()});
  } else {
    StepMetrics metrics;
    metrics.step = step;
    metrics.stage = json.at("stage").get<std::string>();
    for (const auto& [name, member] : kNumbers) metrics.*member = json.value(name, 0.0);
    history.steps.push_back(std::move(metrics));
  }
}

// Adds what the file says up to `last_step` to `history` and returns these lines.
Result<std::string> ReadLines(const std::string& path, int64_t last_step, History& history) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  std::string kept;
  size_t begin = 0;
  int64_t number = 0;
  // A last line without its end was cut off when the program was.
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const std::string where = fmt::format("{}, line {}", path, ++number);
    FULMEN_ASSIGN(const Json json, ParseJson(line, where));
    try {
      if (json.at("step").get<int64_t>() > last_step) continue;
      AddLine(json, history);
    } catch (const nlohmann::json::exception&) {
      return Fail(ErrorCode::kCorrupt, "{}: expected metrics of a step, found {}", where,
                  json.dump().substr(0, 60));
    }
    kept += line + "\n";
  }
  return kept;
}

}  // namespace

Result<History> ReadHistory(const std::string& path) {
  History history;
  FULMEN_TRY(ReadLines(path, std::numeric_limits<int64_t>::max(), history));
  return history;
}

Result<MetricsLog> MetricsLog::Open(const std::string& path, int64_t last_step) {
  MetricsLog log(path);
  std::string kept;
  if (std::error_code absent; std::filesystem::exists(path, absent)) {
    FULMEN_ASSIGN(kept, ReadLines(path, last_step, log.history_));
  }
  FULMEN_TRY(WriteFileAtomically(path, kept));
  log.file_.reset(std::fopen(path.c_str(), "ae"));
  if (!log.file_) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(errno));
  }
  return log;
}

Status MetricsLog::Append(const std::string& line) {
  if (std::fputs((line + "\n").c_str(), file_.get()) >= 0 && std::fflush(file_.get()) == 0) {
    return {};
  }
  return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(errno));
}

Status MetricsLog::Sync() {
  if (fsync(fileno(file_.get())) == 0) return {};
  return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(errno));
}

Status MetricsLog::Add(const StepMetrics& metrics) {
  history_.steps.push_back(metrics);
  return Append(ToJson(metrics).dump());
}

Status MetricsLog::Add(const HeldOutLoss& held_out) {
  history_.held_out.push_back(held_out);
  return Append(ToJson(held_out).dump());
}

Status MetricsLog::Add(const ExpertLoad& load) {
  history_.loads.push_back(load);
  return Append(ToJson(load).dump());
}

}  // namespace fulmen
