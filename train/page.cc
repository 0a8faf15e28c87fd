#include "train/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "train/chart.h"

namespace fulmen {
namespace {

constexpr std::string_view kPageStyle = R"(
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 760px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: 0.2rem 1rem 0.2rem 0;
  border-bottom: 1px solid var(--rule); font-weight: normal; } th { color: var(--soft); }
pre { overflow-x: auto; border: 1px solid var(--rule); padding: 0.8rem; font-size: 12px; }
)";

std::string HtmlRow(const std::vector<std::string>& cells, bool header) {
  std::string row = "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string_view tag = header || i == 0 ? "th" : "td";
    row += fmt::format("<{0}>{1}</{0}>", tag, EscapeHtml(cells[i]));
  }
  return row + "</tr>\n";
}

}  // namespace

std::string HtmlTable(const Table& table) {
  std::string html;
  if (!table.title.empty()) html += "<h2>" + EscapeHtml(table.title) + "</h2>\n";
  html += "<table>\n";
  if (!table.header.empty()) html += HtmlRow(table.header, true);
  for (const std::vector<std::string>& row : table.rows) html += HtmlRow(row, false);
  return html + "</table>\n";
}

std::string TextTable(const Table& table) {
  std::vector<std::vector<std::string>> rows = table.rows;
  if (!table.header.empty()) rows.insert(rows.begin(), table.header);
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  if (!table.title.empty()) text += table.title + "\n";
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string HtmlPage(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n"
      "<style>\n{1}{2}</style></head>\n<body>\n<h1>{0}</h1>\n{3}</body></html>\n",
      EscapeHtml(title), ChartStyle(), kPageStyle, body);
}

}  // namespace fulmen
