// The shell of a report: one HTML file without scripts or anything to load.
#pragma once

#include <string>
#include <vector>

namespace fulmen {

struct Table {
  std::string title;                           // "": none
  std::vector<std::string> header;             // empty: none
  std::vector<std::vector<std::string>> rows;  // the first cell names the row
};

// As HTML, and as text in aligned columns, the title on a line of its own.
std::string HtmlTable(const Table& table);
std::string TextTable(const Table& table);

// A whole page, with the style of charts and tables; `body` is HTML, `title` text.
std::string HtmlPage(const std::string& title, const std::string& body);

}  // namespace fulmen
