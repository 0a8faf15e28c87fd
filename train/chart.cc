#include "train/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace fulmen {
namespace {

constexpr size_t kColours = 8;
constexpr int kLeft = 64;  // room for the labels of the y axis
constexpr int kRight = 16;
constexpr int kTop = 34;
constexpr int kBottom = 46;
constexpr int kLegendRow = 18;
constexpr int kLetter = 7;  // width of one, about

using Points = std::vector<std::pair<double, double>>;

// One axis: values to pixels.
class Axis {
 public:
  Axis(bool log, double low, double high, double from, double to)
      : log_(log), low_(Scale(low)), high_(Scale(high)), from_(from), to_(to) {
    if (high_ > low_) return;
    const double room = log ? 0.5 : std::max(std::abs(low_) * 0.05, 1e-9);
    low_ -= room;
    high_ += room;
  }

  double Pixel(double value) const {
    return from_ + (to_ - from_) * (Scale(value) - low_) / (high_ - low_);
  }

  // Round values inside, about `count` of them.
  std::vector<double> Ticks(int count, bool whole = false) const {
    return log_ ? LogTicks() : LinearTicks(count, whole);
  }

 private:
  double Scale(double value) const { return log_ ? std::log10(value) : value; }

  std::vector<double> LinearTicks(int count, bool whole) const {
    const double raw = (high_ - low_) / count;
    const double power = std::pow(10, std::floor(std::log10(raw)));
    double step = 10 * power;
    for (const double nice : {5.0, 2.0, 1.0}) {
      if (raw <= nice * power) step = nice * power;
    }
    if (whole) step = std::max(step, 1.0);
    std::vector<double> ticks;
    for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ + 1e-9 * step; ++i) {
      ticks.push_back(i * step);
    }
    return ticks;
  }
  // Powers of ten; within two decades also their doubles and fivefolds.
  std::vector<double> LogTicks() const {
    const auto every = std::max(1.0, std::ceil((high_ - low_) / 8));
    std::vector<double> ticks;
    for (double power = std::floor(low_); power <= high_; power += every) {
      for (const double digit : {1.0, 2.0, 5.0}) {
        const double at = power + std::log10(digit);
        if ((digit == 1 || high_ - low_ < 2) && at >= low_ - 1e-9 && at <= high_ + 1e-9) {
          ticks.push_back(std::pow(10, at));
        }
      }
    }
    return ticks;
  }

  bool log_;
  double low_;
  double high_;
  double from_;
  double to_;
};

std::string TickLabel(double value) {
  const double size = std::abs(value);
  if (size < 1e-12) return "0";
  if (size >= 1e4 || size < 1e-3) {
    const double exponent = std::floor(std::log10(size) + 1e-9);
    return fmt::format("{:.3g}e{:.0f}", value / std::pow(10, exponent), exponent);
  }
  return fmt::format("{:.4g}", value);
}

// The points that can be drawn.
Points Drawable(const ChartOptions& options, const ChartSeries& series) {
  Points points;
  for (size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
    const double x = series.x[i];
    const double y = series.y[i];
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    if ((options.log_x && x <= 0) || (options.log_y && y <= 0)) continue;
    points.emplace_back(x, y);
  }
  return points;
}

// Means of equal stretches, at most one per pixel.
Points Thinned(const Points& points, size_t most) {
  if (points.size() <= most) return points;
  Points thin;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * points.size() / most;
    const size_t end = (i + 1) * points.size() / most;
    double x = 0;
    double y = 0;
    for (size_t p = begin; p < end; ++p) {
      x += points[p].first;
      y += points[p].second;
    }
    const auto count = static_cast<double>(end - begin);
    thin.emplace_back(x / count, y / count);
  }
  return thin;
}

std::string Text(double x, double y, std::string_view kind, std::string_view anchor,
                 std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n",
                     x, y, kind, anchor, EscapeHtml(text));
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view kind) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2,
      y2, kind);
}

size_t Colour(const std::vector<ChartSeries>& series, size_t i) {
  return (series[i].colour < 0 ? i : static_cast<size_t>(series[i].colour)) % kColours;
}

// Rows of swatches and names that fit the width; `height` becomes the room they take.
std::string Legend(const std::vector<ChartSeries>& series, int width, int& height) {
  std::string svg;
  int x = kLeft;
  int y = kTop;
  for (size_t i = 0; i < series.size(); ++i) {
    const int room = 30 + kLetter * static_cast<int>(series[i].name.size());
    if (x > kLeft && x + room > width - kRight) {
      x = kLeft;
      y += kLegendRow;
    }
    svg += Line(x, y, x + 16, y,
                fmt::format("line{} c{}", series[i].dashed ? " dashed" : "", Colour(series, i)));
    svg += Text(x + 21, y + 4, "label", "start", series[i].name);
    x += room + 8;
  }
  height = y - kTop + kLegendRow;
  return svg;
}

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

std::string Grid(const ChartOptions& options, const Axis& x, const Axis& y, double left,
                 double right, double top, double bottom) {
  std::string svg;
  for (const double tick : y.Ticks(5)) {
    svg += Line(left, y.Pixel(tick), right, y.Pixel(tick), "grid");
    svg += Text(left - 6, y.Pixel(tick) + 4, "label", "end", TickLabel(tick));
  }
  for (const double tick : x.Ticks(7, options.whole_x)) {
    svg += Line(x.Pixel(tick), bottom, x.Pixel(tick), bottom + 4, "axis");
    svg += Text(x.Pixel(tick), bottom + 18, "label", "middle", TickLabel(tick));
  }
  svg += Line(left, bottom, right, bottom, "axis");
  svg += Text((left + right) / 2, bottom + 36, "label", "middle", options.x_label);
  svg += fmt::format(
      "<text x=\"14\" y=\"{0:.1f}\" class=\"label\" text-anchor=\"middle\" transform=\"rotate(-90 "
      "14 {0:.1f})\">{1}</text>\n",
      (top + bottom) / 2, EscapeHtml(options.y_label));
  return svg;
}

std::string Draw(const ChartSeries& series, const Points& points, const Axis& x, const Axis& y,
                 size_t colour) {
  std::string svg;
  if (series.line && points.size() > 1) {
    svg += fmt::format("<polyline class=\"line{} c{}\" points=\"", series.dashed ? " dashed" : "",
                       colour);
    for (const auto& [px, py] : points) {
      svg += fmt::format("{:.1f},{:.1f} ", x.Pixel(px), y.Pixel(py));
    }
    svg += "\"/>\n";
  }
  if (series.markers || points.size() == 1) {
    for (const auto& [px, py] : points) {
      svg += fmt::format(
          "<circle class=\"dot c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}: {:.6g}, "
          "{:.6g}</title></circle>\n",
          colour, x.Pixel(px), y.Pixel(py), EscapeHtml(series.name), px, py);
    }
  }
  return svg;
}

std::string Open(int width, int height, const std::string& title, const std::string& description) {
  return fmt::format(
             "<svg class=\"chart\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
             "role=\"img\">\n<title>{2}</title>\n<desc>{3}</desc>\n",
             width, height, EscapeHtml(title), EscapeHtml(description)) +
         Text(kLeft, 18, "title", "start", title);
}

// "loss: 100 points, from 8.3 at 1 to 2.5 at 100; ..."
std::string Describe(const std::vector<ChartSeries>& series, const std::vector<Points>& points) {
  std::string text;
  for (size_t i = 0; i < series.size(); ++i) {
    if (points[i].empty()) continue;
    const auto& [first_x, first_y] = points[i].front();
    const auto& [last_x, last_y] = points[i].back();
    text +=
        fmt::format("{}{}: from {} at {} to {} at {}", text.empty() ? "" : "; ", series[i].name,
                    TickLabel(first_y), TickLabel(first_x), TickLabel(last_y), TickLabel(last_x));
  }
  return text.empty() ? "nothing yet" : text;
}

constexpr int kHeatRow = 18;

// Columns from `begin` to `end` of a heat map, with their names below; `top` becomes their lower
// edge.
std::string HeatBlock(const HeatMap& map, size_t begin, size_t end, double cell, double& top) {
  std::string svg;
  for (size_t row = 0; row < map.rows.size(); ++row, top += kHeatRow) {
    svg += Text(kLeft - 6, top + 13, "label", "end", map.rows[row]);
    for (size_t column = begin; column < end; ++column) {
      const double value = map.cells[row][column];
      const bool known = std::isfinite(value);
      const double colour =
          known ? std::clamp((value - map.low) / (map.high - map.low), 0.0, 1.0) : 0.0;
      const double x = kLeft + static_cast<double>(column - begin) * cell;
      svg += fmt::format(
          "<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" "
          "fill-opacity=\"{:.2f}\"><title>{}, {} {}: {:.4g}</title></rect>\n",
          x, top, cell, kHeatRow - 1, colour, EscapeHtml(map.rows[row]), EscapeHtml(map.x_label),
          EscapeHtml(map.columns[column]), value);
      svg += Text(x + cell / 2, top + 12, "number", "middle",
                  known ? fmt::format("{:.2f}", value) : "-");
    }
  }
  size_t longest = 1;
  for (const std::string& name : map.columns) longest = std::max(longest, name.size());
  const auto room = static_cast<double>(kLetter * (longest + 1));
  const auto shown_every = static_cast<size_t>(std::max(1.0, std::ceil(room / cell)));
  for (size_t column = begin; column < end; column += shown_every) {
    svg += Text(kLeft + (static_cast<double>(column - begin) + 0.5) * cell, top + 13, "label",
                "middle", map.columns[column]);
  }
  return svg;
}

// What the colours stand for: a row of swatches between the two ends, on the right above the cells.
std::string HeatScale(const HeatMap& map, double right) {
  constexpr int kSwatches = 9;
  constexpr double kWidth = 14;
  const std::string high = fmt::format("{:.3g} {}", map.high, map.unit);
  double x = right - static_cast<double>(high.size()) * kLetter * 0.85 - kSwatches * kWidth - 5;
  const double y = kTop - 8;
  std::string svg = Text(x - 5, y + 10, "label", "end", TickLabel(map.low));
  for (int i = 0; i < kSwatches; ++i, x += kWidth) {
    svg += fmt::format(
        "<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"12\" "
        "fill-opacity=\"{:.2f}\"/>\n",
        x, y, kWidth, i / static_cast<double>(kSwatches - 1));
  }
  return svg + Text(x + 5, y + 10, "label", "start", high);
}

}  // namespace

std::string LineChart(const ChartOptions& options, const std::vector<ChartSeries>& series) {
  const int room = options.width - kLeft - kRight;
  std::vector<Points> points;
  Extent xs;
  Extent ys;
  for (const ChartSeries& one : series) {
    points.push_back(Thinned(Drawable(options, one), static_cast<size_t>(room / 2)));
    for (const auto& [x, y] : points.back()) {
      xs.Add(x);
      ys.Add(y);
    }
  }
  int legend_height = 0;
  std::string svg = series.size() > 1 ? Legend(series, options.width, legend_height) : "";
  const int height = options.height + legend_height;
  svg = Open(options.width, height, options.title, Describe(series, points)) + svg;
  if (xs.low > xs.high) {
    return svg + Text(options.width / 2.0, height / 2.0, "label", "middle", "nothing yet") +
           "</svg>\n";
  }
  if (options.y_from_zero && !options.log_y) ys.Add(0);
  const double left = kLeft;
  const double right = options.width - kRight;
  const double top = kTop + legend_height;
  const double bottom = height - kBottom;
  const Axis x(options.log_x, xs.low, xs.high, left, right);
  const Axis y(options.log_y, ys.low, ys.high, bottom, top);
  svg += Grid(options, x, y, left, right, top, bottom);
  for (size_t i = 0; i < series.size(); ++i) {
    svg += Draw(series[i], points[i], x, y, Colour(series, i));
  }
  return svg + "</svg>\n";
}

std::string DrawHeatMap(const HeatMap& map) {
  constexpr int kWidth = 720;
  constexpr size_t kMostInARow = 22;  // so that the number of a cell has room
  constexpr int kScale = 12;
  constexpr int kColumnNames = 26;
  const size_t columns = std::max<size_t>(map.columns.size(), 1);
  const size_t blocks = (columns + kMostInARow - 1) / kMostInARow;
  const size_t in_a_row = (columns + blocks - 1) / blocks;
  const double cell = static_cast<double>(kWidth - kLeft - kRight) /
                      static_cast<double>(std::max<size_t>(in_a_row, 6));
  const int block_height = kHeatRow * static_cast<int>(map.rows.size()) + kColumnNames;
  const int height = kTop + kScale + block_height * static_cast<int>(blocks) + 20;
  std::string svg = Open(kWidth, height, map.title,
                         fmt::format("{} rows, {} columns ({}), cells in {} from {} to {}",
                                     map.rows.size(), map.columns.size(), map.x_label, map.unit,
                                     TickLabel(map.low), TickLabel(map.high)));
  svg += HeatScale(map, kWidth - kRight);
  for (size_t block = 0; block < blocks; ++block) {
    double top = kTop + kScale + block_height * static_cast<double>(block);
    svg += HeatBlock(map, block * in_a_row, std::min((block + 1) * in_a_row, map.columns.size()),
                     cell, top);
  }
  return svg + Text((kLeft + kWidth - kRight) / 2.0, height - 8, "label", "middle", map.x_label) +
         "</svg>\n";
}

std::string_view ChartStyle() {
  return R"(:root { --ink: #1b1f24; --soft: #6a737d; --rule: #d8dee4; --page: #ffffff; --heat: #74a9f5;
  --c0: #1f6feb; --c1: #d4580f; --c2: #2c8a4b; --c3: #a33ea1; --c4: #b08800; --c5: #c7254e;
  --c6: #0f8b8d; --c7: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --rule: #30363d;
  --page: #0d1117; --heat: #2a5a96; --c0: #58a6ff; --c1: #f0883e; --c2: #56d364; --c3: #d98fd6; --c4: #e3b341;
  --c5: #ff7b93; --c6: #4cc9c0; --c7: #b1bac4; } }
.chart { max-width: 100%; height: auto; display: block; margin: 1rem 0;
  font-family: system-ui, sans-serif; }
.chart .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
.chart .label { font-size: 11px; fill: var(--soft); }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; }
.chart .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.chart .dashed { stroke-dasharray: 5 4; }
.chart .cell { fill: var(--heat); stroke: var(--rule); stroke-width: 0.5;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.chart .number { font-size: 10px; fill: var(--ink); }
.line.c0 { stroke: var(--c0); } .line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); }
.line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); }
.line.c6 { stroke: var(--c6); } .line.c7 { stroke: var(--c7); }
.dot.c0 { fill: var(--c0); } .dot.c1 { fill: var(--c1); } .dot.c2 { fill: var(--c2); }
.dot.c3 { fill: var(--c3); } .dot.c4 { fill: var(--c4); } .dot.c5 { fill: var(--c5); }
.dot.c6 { fill: var(--c6); } .dot.c7 { fill: var(--c7); }
)";
}

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace fulmen
