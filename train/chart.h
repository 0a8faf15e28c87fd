// Line charts and heat maps as inline SVG, for reports that are one file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fulmen {

struct ChartSeries {
  std::string name;
  std::vector<double> x;
  std::vector<double> y;  // as long as x; values that are not finite are left out
  bool markers = false;   // a dot at every point
  bool line = true;
  bool dashed = false;
  int colour = -1;  // of ChartStyle(), from 0; -1: in turn
};

struct ChartOptions {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  bool log_x = false;  // points that are not positive are left out
  bool log_y = false;
  bool whole_x = false;  // ticks at whole numbers only
  bool y_from_zero = false;
  int width = 720;
  int height = 320;
};

// An <svg> element, with a description for those who do not see it. With two series or more there
// is a legend. Long series are thinned to the means of as many stretches as the chart has room for.
std::string LineChart(const ChartOptions& options, const std::vector<ChartSeries>& series);

struct HeatMap {
  std::string title;
  std::string x_label;
  std::string unit;                        // of the cells
  std::vector<std::string> rows;           // their names, from the top
  std::vector<std::string> columns;        // their names, from the left
  std::vector<std::vector<double>> cells;  // [row][column]; what is not finite is drawn as "-"
  double low = 0;                          // drawn as empty
  double high = 1;                         // drawn in full colour
};

// Each cell shows its value, and a scale shows what colours stand for. Many columns are folded into
// blocks one below the other.
std::string DrawHeatMap(const HeatMap& map);

// The CSS rules both need, for a <style> element: readable on a bright and on a dark page.
std::string_view ChartStyle();

// Text as HTML and SVG content or attribute value.
std::string EscapeHtml(std::string_view text);

}  // namespace fulmen
