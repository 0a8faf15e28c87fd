#include "train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "model/cost.h"
#include "train/chart.h"
#include "train/page.h"
#include "train/schedule.h"

namespace fulmen {
namespace {

constexpr size_t kMostColumns = 22;  // of the heat map of experts

ChartSeries StepSeries(const History& history, std::string name, double StepMetrics::*value) {
  ChartSeries series;
  series.name = std::move(name);
  for (const StepMetrics& metrics : history.steps) {
    series.x.push_back(static_cast<double>(metrics.step));
    series.y.push_back(metrics.*value);
  }
  return series;
}

std::string StepChart(const History& history, const std::string& title, const std::string& unit,
                      double StepMetrics::*value, bool log_y, bool from_zero) {
  ChartOptions options;
  options.title = title;
  options.x_label = "step";
  options.whole_x = true;
  options.y_label = unit;
  options.log_y = log_y;
  options.y_from_zero = from_zero;
  options.height = 240;
  return LineChart(options, {StepSeries(history, title, value)});
}

std::string LossChart(const History& history) {
  ChartOptions options;
  options.title = "Loss";
  options.x_label = "step";
  options.whole_x = true;
  options.y_label = "nats per token";
  std::vector<ChartSeries> series = {
      StepSeries(history, "training cross-entropy", &StepMetrics::cross_entropy)};
  if (!history.held_out.empty()) {
    ChartSeries held_out{"held-out cross-entropy", {}, {}, /*markers=*/true};
    for (const HeldOutLoss& loss : history.held_out) {
      held_out.x.push_back(static_cast<double>(loss.step));
      held_out.y.push_back(loss.cross_entropy);
    }
    series.push_back(std::move(held_out));
  }
  return LineChart(options, series);
}

constexpr const char* kLoadUnit = "times an even share";

// The end of the scale: the largest load, and at least double an even share, so that small
// differences stay pale.
double HighEnd(const HeatMap& map) {
  double high = 2;
  for (const std::vector<double>& row : map.cells) {
    for (const double value : row) {
      if (std::isfinite(value)) high = std::max(high, value);
    }
  }
  return high;
}

// The largest load of an expert in each layer over time, as a multiple of an even share.
std::string LoadOverTime(const History& history, const Config& geometry) {
  HeatMap map;
  map.title = "Load of the busiest expert of each layer (1: all are chosen equally often)";
  map.x_label = "step";
  map.unit = kLoadUnit;
  map.low = 1;
  const size_t records = history.loads.size();
  const size_t columns = std::min(records, kMostColumns);
  map.cells.resize(static_cast<size_t>(geometry.layer_count()));
  for (size_t layer = 0; layer < map.cells.size(); ++layer) {
    map.rows.push_back(fmt::format("layer {}", layer));
  }
  for (size_t column = 0; column < columns; ++column) {
    // Of the records of one column the last.
    const ExpertLoad& load = history.loads[(column + 1) * records / columns - 1];
    map.columns.push_back(fmt::format("{}", load.step));
    for (size_t layer = 0; layer < map.cells.size(); ++layer) {
      const double largest = *std::ranges::max_element(load.shares[layer]);
      map.cells[layer].push_back(largest * static_cast<double>(geometry.experts));
    }
  }
  map.high = HighEnd(map);
  return DrawHeatMap(map);
}

std::string LoadNow(const ExpertLoad& load, const Config& geometry) {
  HeatMap map;
  map.title = fmt::format("Load of every expert at step {} (1: an even share)", load.step);
  map.x_label = "expert";
  map.unit = kLoadUnit;
  for (int64_t expert = 0; expert < geometry.experts; ++expert) {
    map.columns.push_back(fmt::format("{}", expert));
  }
  for (size_t layer = 0; layer < load.shares.size(); ++layer) {
    map.rows.push_back(fmt::format("layer {}", layer));
    std::vector<double>& cells = map.cells.emplace_back(load.shares[layer]);
    for (double& share : cells) share *= static_cast<double>(geometry.experts);
  }
  map.high = HighEnd(map);
  return DrawHeatMap(map);
}

std::string Totals(const TrainingConfig& config, const Config& geometry, const History& history) {
  const StepMetrics& last = history.steps.back();
  // Single steps are noisy: the mean of the last twentieth.
  const size_t tail = std::max<size_t>(1, history.steps.size() / 20);
  const double loss =
      std::accumulate(history.steps.end() - static_cast<std::ptrdiff_t>(tail), history.steps.end(),
                      0.0, [](double sum, const StepMetrics& m) { return sum + m.cross_entropy; }) /
      static_cast<double>(tail);
  Table table;
  const auto row = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  row("Steps", fmt::format("{} of {}", last.step, TrainingPlan(config).steps()));
  row("Stage", last.stage);
  row("Tokens", fmt::format("{:.0f}", last.tokens));
  row("Time in steps", fmt::format("{:.1f} min", last.seconds / 60));
  row("Tokens per second over all steps",
      fmt::format("{:.0f}", last.tokens / std::max(last.seconds, 1e-9)));
  row(fmt::format("Cross-entropy, mean of the last {} steps", tail), fmt::format("{:.4f}", loss));
  if (!history.held_out.empty()) {
    const double held_out = history.held_out.back().cross_entropy;
    row("Held-out cross-entropy (perplexity)",
        fmt::format("{:.4f} ({:.3f})", held_out, std::exp(held_out)));
  }
  row("Parameters", fmt::format("{}, of which a token uses {} without embedding and head",
                                ParameterCount(geometry), ActiveParameterCount(geometry)));
  return HtmlTable(table);
}

}  // namespace

std::string RenderReport(const TrainingConfig& config, const Config& geometry,
                         const History& history) {
  std::string body;
  if (!history.steps.empty()) {
    body += Totals(config, geometry, history) + LossChart(history);
    body += StepChart(history, "Learning rate", "learning rate", &StepMetrics::learning_rate, false,
                      true);
    body += StepChart(history, "Norm of the gradients before clipping", "norm",
                      &StepMetrics::gradient_norm, true, false);
    body += StepChart(history, "Load-balance loss (1 per chosen expert: balanced)", "loss",
                      &StepMetrics::auxiliary, false, false);
    if (config.loss.capacity > 0) {
      body += StepChart(history, "Share of the experts' choices that were dropped", "share",
                        &StepMetrics::dropped, false, true);
    }
    body += StepChart(history, "Throughput", "tokens per second", &StepMetrics::tokens_per_second,
                      false, true);
    body += StepChart(history, "Share of the float32 FMA peak", "share", &StepMetrics::peak_share,
                      false, true);
  }
  if (!history.loads.empty()) {
    body += LoadOverTime(history, geometry) + LoadNow(history.loads.back(), geometry);
  }
  body += "<h2>Config</h2>\n<pre>" + EscapeHtml(WriteTrainingConfig(config)) + "</pre>\n";
  return HtmlPage("Training " + config.output.folder, body);
}

}  // namespace fulmen
