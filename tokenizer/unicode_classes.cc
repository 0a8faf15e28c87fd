#include "tokenizer/unicode_classes.h"

#include <algorithm>
#include <memory>

namespace fulmen {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
  CharClass char_class;
};

constexpr Range kRanges[] = {
#include "tokenizer/unicode_tables.inc"
};

std::unique_ptr<const CharClassTable> BuildTable() {
  auto table = std::make_unique<CharClassTable>();
  for (const Range& range : kRanges) {
    std::fill(table->begin() + range.first, table->begin() + range.last + 1, range.char_class);
  }
  (*table)['\r'] = CharClass::kNewline;
  (*table)['\n'] = CharClass::kNewline;
  return table;
}

}  // namespace

const CharClassTable& UnicodeClasses() {
  static const std::unique_ptr<const CharClassTable> table = BuildTable();
  return *table;
}

}  // namespace fulmen
