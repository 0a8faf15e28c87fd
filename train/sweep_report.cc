#include "train/sweep_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/units.h"
#include "train/chart.h"
#include "train/page.h"

namespace fulmen {
namespace {

constexpr double kReportCompute = 100;  // up to where the report's laws are drawn, PFLOP/s-days

constexpr std::array<std::string_view, 6> kConventions = {
    "C: floating-point operations of training, 3 x the forward products (weights, attention and "
    "head), in PFLOP/s-days of 8.64e19.",
    "N: parameters a token uses, without embedding and head. D: tokens read, repeats included.",
    "L: held-out cross-entropy in nats per token, after the warm-up, at a constant learning rate.",
    "N_opt and D_opt: at equal C, the minimum of the parabola over log N through the size of "
    "lowest "
    "loss and its neighbours; left out where the smallest or the largest size is best, as the "
    "optimum may lie outside. L(C): the lower envelope of all curves, but where the "
    "smallest model trained so far is best and a smaller one ended before. "
    "All over the C that three sizes reach.",
    "Narrow models spend much of their compute on attention, and softmax the most: at equal D, in "
    "the "
    "table of runs, kinds may rank otherwise than at equal C.",
    "The report: MiniMax-01, arXiv 2501.08313, section 2.2, table 2; 70 M to 7 B parameters, up to "
    "300 B tokens. Its tokenizer and data differ, so exponents compare and factors do not."};

// A law with the report's beside it, and how to say it.
struct NamedLaw {
  std::string_view name;  // as in tables
  std::string_view key;   // as in JSON
  std::optional<LawFit> KindScaling::*fit;
  PowerLaw ReportLaws::*report;
};
constexpr std::array<NamedLaw, 3> kLaws = {{
    {"L", "loss", &KindScaling::loss, &ReportLaws::loss},
    {"N_opt", "parameters", &KindScaling::parameters, &ReportLaws::parameters},
    {"D_opt", "tokens", &KindScaling::tokens, &ReportLaws::tokens},
}};

const ReportLaws& ReportOf(std::string_view kind) {
  return *std::ranges::find(kReportLaws, kind, &ReportLaws::kind);
}

// The colour of a kind, the same in every chart.
int ColourOf(std::string_view kind) { return static_cast<int>(&ReportOf(kind) - &kReportLaws[0]); }

std::string_view OptimumName(Optimum optimum) {
  switch (optimum) {
    case Optimum::kBelow:
      return "the smallest size";
    case Optimum::kAbove:
      return "the largest size";
    case Optimum::kInside:
      break;
  }
  return "inside";
}

std::string LawText(const PowerLaw& law) {
  return fmt::format("{:.4g} C^{:.4f}", law.factor, law.exponent);
}

Table RunsTable(const Sweep& sweep) {
  Table table{"Runs", {"run", "N", "D", "FLOP", "held-out loss", "minutes"}, {}};
  for (const SweepRecord& run : sweep.runs) {
    const std::vector<CurvePoint>& points = run.curve.points;
    table.rows.push_back({run.kind + "-" + run.curve.size, HumanCount(run.curve.parameters),
                          HumanCount(run.tokens), fmt::format("{:.3g}", run.flops),
                          points.empty() ? "-" : fmt::format("{:.4f}", points.back().loss),
                          fmt::format("{:.1f}", run.seconds / 60)});
  }
  return table;
}

Table LawsTable(const Sweep& sweep) {
  Table table{"Scaling laws", {"law", "here", "points", "C of the points", "report"}, {}};
  for (const NamedLaw& law : kLaws) {
    for (const KindScaling& kind : sweep.scaling.kinds) {
      std::vector<std::string> row = {fmt::format("{} {}", law.name, kind.kind)};
      if (const std::optional<LawFit>& fit = kind.*law.fit) {
        row.insert(row.end(), {LawText(fit->law), std::to_string(fit->points),
                               fmt::format("{:.2e} to {:.2e}", fit->low, fit->high)});
      } else {
        row.insert(row.end(), {"too few points", "-", "-"});
      }
      row.push_back(LawText(ReportOf(kind.kind).*law.report));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

// Why there are no more points for N_opt and D_opt.
Table OptimaTable(const Sweep& sweep) {
  Table table{"Which size is best, counted over values of C",
              {"kind", "values of C", "one between others", "the smallest", "the largest"},
              {}};
  for (const KindScaling& kind : sweep.scaling.kinds) {
    std::vector<std::string> row = {kind.kind, std::to_string(kind.isoflops.size())};
    for (const Optimum optimum : {Optimum::kInside, Optimum::kBelow, Optimum::kAbove}) {
      row.push_back(std::to_string(std::ranges::count(kind.isoflops, optimum, &IsoFlop::optimum)));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table EqualTable(const Sweep& sweep) {
  Table table{"Lowest held-out loss at equal compute", {"C"}, {}};
  for (const KindScaling& kind : sweep.scaling.kinds) table.header.push_back(kind.kind);
  for (const EqualCompute& row : sweep.scaling.equal) {
    std::vector<std::string>& cells = table.rows.emplace_back();
    cells.push_back(fmt::format("{:.2e}", row.compute));
    for (const double loss : row.losses) cells.push_back(fmt::format("{:.4f}", loss));
  }
  return table;
}

ChartSeries LawSeries(std::string name, std::string_view kind, const PowerLaw& law, double low,
                      double high, bool dashed) {
  ChartSeries series{std::move(name), {}, {}};
  series.dashed = dashed;
  series.colour = ColourOf(kind);
  constexpr int kPieces = 40;  // a law is a line on two logarithmic axes and bent on one
  for (int i = 0; i <= kPieces; ++i) {
    series.x.push_back(low * std::pow(high / low, i / static_cast<double>(kPieces)));
    series.y.push_back(law.At(series.x.back()));
  }
  return series;
}

std::string CurvesChart(const Sweep& sweep, const KindScaling& kind) {
  std::vector<ChartSeries> series;
  for (const SweepRecord& run : sweep.runs) {
    if (run.kind != kind.kind) continue;
    ChartSeries& curve = series.emplace_back();
    curve.name = fmt::format("{}, N {}", run.curve.size, HumanCount(run.curve.parameters));
    // Past the colours of the kinds, one of which is the law's.
    curve.colour = static_cast<int>(kReportLaws.size() + series.size() - 1);
    for (const CurvePoint& point : run.curve.points) {
      curve.x.push_back(point.compute);
      curve.y.push_back(point.loss);
    }
  }
  if (kind.loss) {
    series.push_back(LawSeries("L(C) = " + LawText(kind.loss->law), kind.kind, kind.loss->law,
                               kind.loss->low, kind.loss->high, true));
  }
  return LineChart({.title = "Held-out loss of " + kind.kind + " models",
                    .x_label = "C, PFLOP/s-days",
                    .y_label = "nats per token",
                    .log_x = true},
                   series);
}

// What the frontier or the optima say of a law.
ChartSeries LawPoints(const KindScaling& kind, const NamedLaw& law) {
  ChartSeries points{kind.kind + ", here", {}, {}};
  points.markers = true;
  points.line = false;
  points.colour = ColourOf(kind.kind);
  if (law.fit == &KindScaling::loss) {
    for (const BestLoss& best : kind.frontier) {
      points.x.push_back(best.compute);
      points.y.push_back(best.loss);
    }
    return points;
  }
  for (const IsoFlop& iso : kind.isoflops) {
    if (iso.optimum != Optimum::kInside) continue;
    points.x.push_back(iso.compute);
    points.y.push_back(law.fit == &KindScaling::parameters ? iso.parameters : iso.tokens);
  }
  return points;
}

// The report's law with the factor that makes it meet `fit` amidst its points.
PowerLaw ReportSlope(const LawFit& fit, const PowerLaw& report) {
  const double middle = std::sqrt(fit.low * fit.high);
  return {fit.law.At(middle) / std::pow(middle, report.exponent), report.exponent};
}

// Two charts: the points here with their fits and the report's slopes, and all of it together with
// the report's laws, which are many decades away.
std::string LawCharts(const Sweep& sweep, const NamedLaw& law, const std::string& unit) {
  std::vector<ChartSeries> near;
  std::vector<ChartSeries> wide;
  double low = kReportCompute;
  for (const KindScaling& kind : sweep.scaling.kinds) {
    const ChartSeries& points = near.emplace_back(LawPoints(kind, law));
    wide.push_back(points);
    if (!points.x.empty()) low = std::min(low, points.x.front());
  }
  if (low == kReportCompute) return fmt::format("<p>{}(C): no points here.</p>\n", law.name);
  for (const KindScaling& kind : sweep.scaling.kinds) {
    const PowerLaw& report = ReportOf(kind.kind).*law.report;
    if (const std::optional<LawFit>& fit = kind.*law.fit) {
      near.push_back(
          LawSeries(kind.kind + ", fit", kind.kind, fit->law, fit->low, fit->high, false));
      near.push_back(LawSeries(kind.kind + ", report's slope", kind.kind, ReportSlope(*fit, report),
                               fit->low, fit->high, true));
    }
    wide.push_back(LawSeries(kind.kind + ", report", kind.kind, report, low, kReportCompute, true));
  }
  ChartOptions options{.title = fmt::format("{}(C) here", law.name),
                       .x_label = "C, PFLOP/s-days",
                       .y_label = unit,
                       .log_x = true,
                       .log_y = true};
  std::string html = LineChart(options, near);
  options.title = fmt::format("{}(C) and the report's, drawn on to the compute here", law.name);
  return html + LineChart(options, wide);
}

std::string Charts(const Sweep& sweep) {
  std::string html;
  for (const KindScaling& kind : sweep.scaling.kinds) html += CurvesChart(sweep, kind);
  html += LawCharts(sweep, kLaws[0], "nats per token");
  html += LawCharts(sweep, kLaws[1], "parameters");
  html += LawCharts(sweep, kLaws[2], "tokens");
  return html;
}

Json LawJson(const PowerLaw& law) { return {{"factor", law.factor}, {"exponent", law.exponent}}; }

Json KindJson(const KindScaling& kind) {
  Json json;
  for (const NamedLaw& law : kLaws) {
    Json& one = json["laws"][law.key];
    one["here"] = nullptr;
    if (const std::optional<LawFit>& fit = kind.*law.fit) {
      one["here"] = LawJson(fit->law);
      one["here"]["points"] = fit->points;
      one["here"]["compute"] = {fit->low, fit->high};
    }
    one["report"] = LawJson(ReportOf(kind.kind).*law.report);
  }
  json["frontier"] = Json::array();
  for (const BestLoss& best : kind.frontier) {
    json["frontier"].push_back(
        {{"compute", best.compute}, {"loss", best.loss}, {"sizes", best.sizes}});
  }
  json["isoflops"] = Json::array();
  for (const IsoFlop& iso : kind.isoflops) {
    Json& one = json["isoflops"].emplace_back(
        Json{{"compute", iso.compute}, {"best", OptimumName(iso.optimum)}});
    if (iso.optimum != Optimum::kInside) continue;
    one["loss"] = iso.loss;
    one["parameters"] = iso.parameters;
    one["tokens"] = iso.tokens;
  }
  return json;
}

}  // namespace

Json SweepJson(const Sweep& sweep) {
  Json json;
  json["conventions"] = kConventions;
  json["runs"] = Json::array();
  for (const SweepRecord& run : sweep.runs) {
    Json curve = Json::array();
    for (const CurvePoint& point : run.curve.points) {
      curve.push_back({{"compute", point.compute}, {"tokens", point.tokens}, {"loss", point.loss}});
    }
    json["runs"].push_back({{"kind", run.kind},
                            {"size", run.curve.size},
                            {"parameters", run.curve.parameters},
                            {"tokens", run.tokens},
                            {"flops", run.flops},
                            {"seconds", run.seconds},
                            {"curve", std::move(curve)}});
  }
  json["kinds"] = Json::object();
  for (const KindScaling& kind : sweep.scaling.kinds) json["kinds"][kind.kind] = KindJson(kind);
  json["equal_compute"] = Json::array();
  for (const EqualCompute& row : sweep.scaling.equal) {
    Json& one = json["equal_compute"].emplace_back(Json{{"compute", row.compute}});
    for (size_t i = 0; i < row.losses.size(); ++i) {
      one[sweep.scaling.kinds[i].kind] = row.losses[i];
    }
  }
  json["verdict"] = HybridVerdict(sweep.scaling);
  return json;
}

std::string SweepText(const Sweep& sweep) {
  std::string text;
  for (const std::string_view convention : kConventions) text += fmt::format("{}\n", convention);
  for (const Table& table :
       {RunsTable(sweep), LawsTable(sweep), OptimaTable(sweep), EqualTable(sweep)}) {
    text += fmt::format("\n{}", TextTable(table));
  }
  return fmt::format("{}\n{}\n", text, HybridVerdict(sweep.scaling));
}

std::string SweepPage(const Sweep& sweep) {
  std::string body = fmt::format("<p>{}</p>\n<ul>\n", EscapeHtml(HybridVerdict(sweep.scaling)));
  for (const std::string_view convention : kConventions) {
    body += fmt::format("<li>{}</li>\n", EscapeHtml(convention));
  }
  body += "</ul>\n" + HtmlTable(EqualTable(sweep)) + HtmlTable(LawsTable(sweep)) +
          HtmlTable(OptimaTable(sweep)) + "<h2>Curves</h2>\n" + Charts(sweep) +
          HtmlTable(RunsTable(sweep));
  body += fmt::format("<h2>Config</h2>\n<pre>{}</pre>\n",
                      EscapeHtml(WriteTrainingConfig(sweep.config)));
  return HtmlPage("Scaling of " + sweep.config.output.folder, body);
}

}  // namespace fulmen
