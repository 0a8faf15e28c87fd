#include "grammar/formats.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "grammar/pattern.h"
#include "grammar/unicode_sets.h"

namespace fulmen {
namespace {

using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls): it is used

// Dates of the years 0001 to 9999 (RFC 3339; there is no year 0 in most calendars' programs).
std::string Date() {
  const std::string year = "(?:[1-9]\\d{3}|0(?:[1-9]\\d\\d|0(?:[1-9]\\d|0[1-9])))";
  const std::string leap_year =
      "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
  const std::string month_day =
      "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"
      "02-(?:0[1-9]|1\\d|2[0-8]))";
  return fmt::format("(?:{}-{}|{}-02-29)", year, month_day, leap_year);
}

// RFC 3339 without leap seconds; nanoseconds are the finest that programs tell apart.
std::string Time() {
  return "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?"
         "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
}

// RFC 3339, appendix A: no unit may be left out between two others.
std::string Duration() {
  const std::string time = "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)";
  const std::string date = "(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)";
  return fmt::format("P(?:{1}(?:{0})?|{0}|\\d+W)", time, date);
}

std::string Ipv4() {
  const std::string byte = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
  return fmt::format("(?:{0}\\.){{3}}{0}", byte);
}

// RFC 4291: eight groups, the last two as IPv4 if need be; "::" stands for one group or more.
std::string Ipv6() {
  const std::string group = "[\\dA-Fa-f]{1,4}";
  const std::string last = fmt::format("(?:{0}:{0}|{1})", group, Ipv4());
  std::string all = fmt::format("(?:{0}:){{6}}{1}", group, last);
  for (int before = 0; before <= 7; ++before) {
    std::string head;
    if (before > 0) head = fmt::format("(?:(?:{0}:){{0,{1}}}{0})?", group, before - 1);
    std::string tail;
    if (before <= 5) tail = fmt::format("(?:{}:){{{}}}{}", group, 5 - before, last);
    if (before == 6) tail = group;
    all += fmt::format("|{}::{}", head, tail);
  }
  return "(?:" + all + ")";
}

// What RFC 3986 allows in URIs, and RFC 3987 in IRIs.
struct UriParts {
  std::string letters;  // for a class: all that stands for itself, and has no other meaning
  std::string privates;
};

UriParts PartsOf(bool international) {
  UriParts parts{"A-Za-z\\d\\-._~", ""};
  if (!international) return parts;
  parts.letters += "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF";
  for (int plane = 1; plane <= 14; ++plane) {
    const int first = plane * 0x10000 + (plane == 14 ? 0x1000 : 0);
    parts.letters += fmt::format("\\u{{{:X}}}-\\u{{{:X}}}", first, plane * 0x10000 + 0xFFFD);
  }
  parts.privates = "\\uE000-\\uF8FF\\u{F0000}-\\u{FFFFD}\\u{100000}-\\u{10FFFD}";
  return parts;
}

// `reference`: it may be relative.
std::string Uri(bool international, bool reference) {
  const auto [letters, privates] = PartsOf(international);
  const auto some = [&, &letters = letters](std::string_view more) {
    return fmt::format("(?:[{}!$&'()*+,;={}]|%[\\dA-Fa-f]{{2}})", letters, more);
  };
  const std::string in_path = some(":@");
  const std::string host = fmt::format(
      "(?:\\[(?:{}|[Vv][\\dA-Fa-f]+\\.[A-Za-z\\d\\-._~!$&'()*+,;=:]+)\\]|{}*)", Ipv6(), some(""));
  const std::string authority = fmt::format("(?:{}*@)?{}(?::\\d{{0,5}})?", some(":"), host);
  const std::string more_path = fmt::format("(?:/{}*)*", in_path);
  const std::string rooted = fmt::format("/(?:{}+{})?", in_path, more_path);
  const std::string with_authority = fmt::format("//{}{}", authority, more_path);
  const std::string end =
      fmt::format("(?:\\?{}*)?(?:#{}*)?", some(":@/?" + privates), some(":@/?"));
  const std::string absolute = fmt::format("[A-Za-z][A-Za-z\\d+\\-.]*:(?:{}|{}|{}+{}|)",
                                           with_authority, rooted, in_path, more_path);
  if (!reference) return absolute + end;
  const std::string relative =
      fmt::format("(?:{}|{}|{}+{}|)", with_authority, rooted, some("@"), more_path);
  return fmt::format("(?:{}|{}){}", absolute, relative, end);
}

// RFC 6570.
std::string UriTemplate() {
  const std::string name = "(?:\\w|%[\\dA-Fa-f]{2})+(?:\\.(?:\\w|%[\\dA-Fa-f]{2})+)*";
  const std::string variable = name + "(?:\\*|:[1-9]\\d{0,3})?";
  const auto [letters, privates] = PartsOf(true);
  const std::string literal =
      fmt::format("(?:[!#$&()*+,\\-./:;=?@\\[\\]_~\\w{}{}]|%[\\dA-Fa-f]{{2}})", letters, privates);
  return fmt::format("(?:{0}|\\{{[+#./;?&]?{1}(?:,{1})*\\}})*", literal, variable);
}

// Patterns that ECMA-262 and Python read alike, groups nested three deep.
std::string Regex() {
  const std::string escape = "\\\\[dDwWsSnrtfv\\\\^$.*+?()\\[\\]{}|/]";
  const std::string member = "A-Z|a-z|0-9|[A-Za-z\\d _.,:;@#%!\"'/=<>+*?()$]|\\\\-|" + escape;
  const std::string simple =
      fmt::format("[A-Za-z\\d _.,:;@#%&!\"'/=~<>\\-]|{}|\\[\\^?(?:{})+\\]", escape, member);
  const std::string counts = "(?:[*+?]\\??|\\{\\d{1,3},?\\}|\\{[01],[1-9]\\d{0,2}\\})?";
  std::string pattern;
  for (int depth = 0; depth <= 3; ++depth) {
    const std::string group = depth == 0 ? "" : fmt::format("|\\((?:\\?:)?{}\\)", pattern);
    pattern = fmt::format("(?:(?:{}{}){}|[\\^$|])*", simple, group, counts);
  }
  return pattern;
}

std::string JsonPointer() { return "(?:/(?:[^~/]|~[01])*)*"; }

// RFC 4648, section 4; bits that stand for nothing are 0.
std::string Base64() {
  return "(?:[A-Za-z\\d+/]{4})*(?:[A-Za-z\\d+/][AQgw]==|[A-Za-z\\d+/]{2}[AEIMQUYcgkosw048]=)?";
}

struct PatternFormat {
  std::string_view name;
  std::string (*pattern)();
};

constexpr PatternFormat kPatterns[] = {
    {"date-time", [] { return Date() + "T" + Time(); }},
    {"date", Date},
    {"time", Time},
    {"duration", Duration},
    {"ipv4", Ipv4},
    {"ip-address", Ipv4},
    {"ipv6", Ipv6},
    {"uri", [] { return Uri(false, false); }},
    {"uri-reference", [] { return Uri(false, true); }},
    {"iri", [] { return Uri(true, false); }},
    {"iri-reference", [] { return Uri(true, true); }},
    {"uri-template", UriTemplate},
    {"uuid", [] { return "[\\dA-Fa-f]{8}(?:-[\\dA-Fa-f]{4}){3}-[\\dA-Fa-f]{12}"s; }},
    {"json-pointer", JsonPointer},
    {"relative-json-pointer", [] { return "(?:0|[1-9]\\d*)(?:#|" + JsonPointer() + ")"; }},
    {"regex", Regex},
    {"byte", Base64},
};

Term AtMostBytes(Terms& terms, Term term, int32_t most) {
  return terms.Intersect(term, terms.Repeat(terms.Bytes(ByteSet::All()), 1, most));
}

// Characters in words with single hyphens between them. Two in a row are left to names in Punycode
// ("xn--"), which not any letters are.
Term Label(Terms& terms, const CodePoints& characters) {
  const Term word =
      terms.Repeat(Character(terms, characters, Spelling::kText), 1, Terms::kUnbounded);
  return terms.Concat(word, terms.Star(terms.Concat(terms.Literal("-"), word)));
}

// The names of hosts, of labels with points between them.
Term Labels(Terms& terms, Term label, int32_t fewest, int32_t most) {
  const Term more = terms.Concat(terms.Literal("."), label);
  const int32_t most_more = most == Terms::kUnbounded ? most : most - 1;
  return terms.Concat(label, terms.Repeat(more, fewest - 1, most_more));
}

const CodePoints& AsciiAlphanumerics() {
  static const CodePoints characters({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}});
  return characters;
}

Term AsciiHost(Terms& terms, int32_t fewest_labels) {
  const Term label = AtMostBytes(terms, Label(terms, AsciiAlphanumerics()), 63);
  return AtMostBytes(terms, Labels(terms, label, fewest_labels, Terms::kUnbounded), 253);
}

// Whether folding case and width leave the character as it is: RFC 5892 calls the others unstable.
bool IsStable(uint32_t character) {
  std::string text;
  AppendUtf8(character, text);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> folded(
      utf8proc_NFKC_Casefold(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str())), &std::free);
  return folded != nullptr && text == reinterpret_cast<const char*>(folded.get());
}

// Of the letters that RFC 5892 allows, those of some scripts that run from left to right and in
// which any letter may follow any other: Latin, Greek, Cyrillic; kana, ideographs and Hangul.
const CodePoints& HostLetters() {
  static const CodePoints letters = [] {
    std::vector<CodePoints::Range> ranges{{'0', '9'},       {'a', 'z'},       {0x3041, 0x3096},
                                          {0x30A1, 0x30FA}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}};
    const CodePoints small = *UnicodeSet("Ll");
    for (const CodePoints::Range block :
         {CodePoints::Range{0xDF, 0x24F}, {0x370, 0x3FF}, {0x400, 0x52F}}) {
      for (uint32_t character = block.first; character <= block.last; ++character) {
        if (small.Has(character) && IsStable(character)) ranges.push_back({character, character});
      }
    }
    return CodePoints(std::move(ranges));
  }();
  return letters;
}

Term InternationalHost(Terms& terms, int32_t fewest_labels) {
  // In Punycode a character takes five bytes at most: these labels keep below 63, and three of them
  // below 253.
  const Term any = Character(terms, CodePoints::All(), Spelling::kText);
  const Term label = terms.Intersect(Label(terms, HostLetters()), terms.Repeat(any, 1, 11));
  return terms.Union(AsciiHost(terms, fewest_labels), Labels(terms, label, fewest_labels, 3));
}

// RFC 5321's Mailbox without quotes and addresses in brackets; `more` may stand before the "@" as
// well.
Term Email(Terms& terms, const CodePoints& more, Term host) {
  CodePoints characters = AsciiAlphanumerics() | more;
  for (const char mark : std::string_view("!#$%&'*+/=?^_`{|}~-")) {
    characters = characters | CodePoints::Of(static_cast<uint32_t>(mark));
  }
  const Term atom =
      terms.Repeat(Character(terms, characters, Spelling::kText), 1, Terms::kUnbounded);
  const Term name = AtMostBytes(terms, Labels(terms, atom, 1, Terms::kUnbounded), 64);
  return AtMostBytes(terms, terms.Concat(std::array{name, terms.Literal("@"), host}), 254);
}

}  // namespace

std::optional<Term> FormatTerm(Terms& terms, std::string_view format, Spelling spelling) {
  // These have no character that is spelled in another way in JSON.
  if (format == "hostname" || format == "host-name") return AsciiHost(terms, 1);
  if (format == "idn-hostname") return InternationalHost(terms, 1);
  if (format == "email") return Email(terms, CodePoints(), AsciiHost(terms, 2));
  if (format == "idn-email") return Email(terms, HostLetters(), InternationalHost(terms, 2));
  const auto* known = std::ranges::find(kPatterns, format, &PatternFormat::name);
  if (known == std::end(kPatterns)) return std::nullopt;
  const Result<Term> term = ParsePattern(terms, known->pattern(), spelling, PatternMatch::kWhole);
  FULMEN_CHECK(term.has_value(), "the format {}: {}", format, term.error().message);
  return *term;
}

}  // namespace fulmen
