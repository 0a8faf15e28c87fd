#include "base/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"

namespace fulmen {
namespace {

// Levenshtein's distance: letters to insert, remove or replace.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (const char letter : a) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (letter == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string_view NearestName(std::string_view name, std::span<const std::string_view> known) {
  FULMEN_CHECK(!known.empty(), "there is no name to be near to");
  return *std::ranges::min_element(known, {}, [&](std::string_view each) {
    return std::pair(!each.starts_with(name), EditDistance(name, each));
  });
}

bool MayMean(std::string_view name, std::string_view known) {
  return (!name.empty() && known.starts_with(name)) ||
         EditDistance(name, known) <= std::max<size_t>(1, known.size() / 3);
}

}  // namespace fulmen
