#include "grammar/unicode_sets.h"

#include <utf8proc.h>

#include <vector>

namespace fulmen {
namespace {

template <class... Categories>
constexpr uint32_t Mask(Categories... categories) {
  return ((uint32_t{1} << categories) | ...);
}

struct Name {
  std::string_view brief;
  std::string_view full;
  uint32_t categories;  // a bit for each
};

constexpr uint32_t kCasedLetters =
    Mask(UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LT);
constexpr uint32_t kControls =
    Mask(UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CF, UTF8PROC_CATEGORY_CS, UTF8PROC_CATEGORY_CO);

constexpr Name kNames[] = {
    {"L", "Letter", kCasedLetters | Mask(UTF8PROC_CATEGORY_LM, UTF8PROC_CATEGORY_LO)},
    {"LC", "Cased_Letter", kCasedLetters},
    {"Lu", "Uppercase_Letter", Mask(UTF8PROC_CATEGORY_LU)},
    {"Ll", "Lowercase_Letter", Mask(UTF8PROC_CATEGORY_LL)},
    {"Lt", "Titlecase_Letter", Mask(UTF8PROC_CATEGORY_LT)},
    {"Lm", "Modifier_Letter", Mask(UTF8PROC_CATEGORY_LM)},
    {"Lo", "Other_Letter", Mask(UTF8PROC_CATEGORY_LO)},
    {"M", "Mark", Mask(UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_MC, UTF8PROC_CATEGORY_ME)},
    {"Mn", "Nonspacing_Mark", Mask(UTF8PROC_CATEGORY_MN)},
    {"Mc", "Spacing_Mark", Mask(UTF8PROC_CATEGORY_MC)},
    {"Me", "Enclosing_Mark", Mask(UTF8PROC_CATEGORY_ME)},
    {"N", "Number", Mask(UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NL, UTF8PROC_CATEGORY_NO)},
    {"Nd", "Decimal_Number", Mask(UTF8PROC_CATEGORY_ND)},
    {"Nl", "Letter_Number", Mask(UTF8PROC_CATEGORY_NL)},
    {"No", "Other_Number", Mask(UTF8PROC_CATEGORY_NO)},
    {"P", "Punctuation",
     Mask(UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PD, UTF8PROC_CATEGORY_PS, UTF8PROC_CATEGORY_PE,
          UTF8PROC_CATEGORY_PI, UTF8PROC_CATEGORY_PF, UTF8PROC_CATEGORY_PO)},
    {"Pc", "Connector_Punctuation", Mask(UTF8PROC_CATEGORY_PC)},
    {"Pd", "Dash_Punctuation", Mask(UTF8PROC_CATEGORY_PD)},
    {"Ps", "Open_Punctuation", Mask(UTF8PROC_CATEGORY_PS)},
    {"Pe", "Close_Punctuation", Mask(UTF8PROC_CATEGORY_PE)},
    {"Pi", "Initial_Punctuation", Mask(UTF8PROC_CATEGORY_PI)},
    {"Pf", "Final_Punctuation", Mask(UTF8PROC_CATEGORY_PF)},
    {"Po", "Other_Punctuation", Mask(UTF8PROC_CATEGORY_PO)},
    {"S", "Symbol",
     Mask(UTF8PROC_CATEGORY_SM, UTF8PROC_CATEGORY_SC, UTF8PROC_CATEGORY_SK, UTF8PROC_CATEGORY_SO)},
    {"Sm", "Math_Symbol", Mask(UTF8PROC_CATEGORY_SM)},
    {"Sc", "Currency_Symbol", Mask(UTF8PROC_CATEGORY_SC)},
    {"Sk", "Modifier_Symbol", Mask(UTF8PROC_CATEGORY_SK)},
    {"So", "Other_Symbol", Mask(UTF8PROC_CATEGORY_SO)},
    {"Z", "Separator", Mask(UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZL, UTF8PROC_CATEGORY_ZP)},
    {"Zs", "Space_Separator", Mask(UTF8PROC_CATEGORY_ZS)},
    {"Zl", "Line_Separator", Mask(UTF8PROC_CATEGORY_ZL)},
    {"Zp", "Paragraph_Separator", Mask(UTF8PROC_CATEGORY_ZP)},
    {"C", "Other", kControls | Mask(UTF8PROC_CATEGORY_CN)},
    {"Cc", "Control", Mask(UTF8PROC_CATEGORY_CC)},
    {"Cf", "Format", Mask(UTF8PROC_CATEGORY_CF)},
    {"Cs", "Surrogate", Mask(UTF8PROC_CATEGORY_CS)},
    {"Co", "Private_Use", Mask(UTF8PROC_CATEGORY_CO)},
    {"Cn", "Unassigned", Mask(UTF8PROC_CATEGORY_CN)},
    {"Assigned", "Assigned", ~Mask(UTF8PROC_CATEGORY_CN)},
    {"Any", "Any", ~uint32_t{0}},
};

// Characters in a row that are of one category.
struct Run {
  CodePoints::Range range;
  uint32_t category;
};

const std::vector<Run>& Runs() {
  static const std::vector<Run> all = [] {
    std::vector<Run> runs;
    for (uint32_t character = 0; character <= kLastCodePoint; ++character) {
      const auto category =
          static_cast<uint32_t>(utf8proc_category(static_cast<utf8proc_int32_t>(character)));
      if (runs.empty() || runs.back().category != category) {
        runs.push_back({{character, character}, category});
      }
      runs.back().range.last = character;
    }
    return runs;
  }();
  return all;
}

}  // namespace

std::optional<CodePoints> UnicodeSet(std::string_view name) {
  if (name == "ASCII") return CodePoints({{0, 0x7F}});
  for (const Name& known : kNames) {
    if (name != known.brief && name != known.full) continue;
    std::vector<CodePoints::Range> ranges;
    for (const Run& run : Runs()) {
      if ((known.categories & Mask(run.category)) != 0) ranges.push_back(run.range);
    }
    return CodePoints(std::move(ranges));
  }
  return std::nullopt;
}

}  // namespace fulmen
