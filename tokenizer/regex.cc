#include "tokenizer/regex.h"

#include <oniguruma.h>

#include "base/utf8.h"

namespace fulmen {
namespace {

// Bounds what a hostile pattern can cost per match; ordinary ones stay far below.
constexpr auto kRetryLimit = 10'000'000UL;

// `text` where it is valid UTF-8, else a copy with U+0001 for every invalid byte.
std::string_view ValidUtf8(std::string_view text, std::string& copy) {
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    if (c.kind == Utf8Char::Kind::kValid) {
      p += c.bytes;
      continue;
    }
    if (copy.empty()) copy.assign(text);
    copy[static_cast<size_t>(p - text.data())] = '\x01';
    ++p;
  }
  return copy.empty() ? text : std::string_view(copy);
}

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};
struct FreeParam {
  void operator()(OnigMatchParam* param) const { onig_free_match_param(param); }
};

void Initialize() {
  static const int done = [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    return onig_initialize(encodings, 1);
  }();
  (void)done;
}

}  // namespace

void Regex::Free::operator()(void* regex) const { onig_free(static_cast<OnigRegex>(regex)); }

Result<Regex> Regex::Compile(const std::string& pattern, const std::string& where) {
  Initialize();
  const auto* begin = reinterpret_cast<const OnigUChar*>(pattern.data());
  OnigRegex regex = nullptr;
  OnigErrorInfo info;
  const int status = onig_new(&regex, begin, begin + pattern.size(), ONIG_OPTION_NONE,
                              ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (status != ONIG_NORMAL) {
    OnigUChar message[ONIG_MAX_ERROR_MESSAGE_LEN];
    const int length = onig_error_code_to_str(message, status, &info);
    return Fail(ErrorCode::kCorrupt, "{}: split pattern: {}", where,
                std::string_view(reinterpret_cast<const char*>(message),
                                 static_cast<size_t>(std::max(length, 0))));
  }
  return Regex(regex);
}

bool Regex::ForEachMatch(std::string_view text,
                         const std::function<void(size_t, size_t)>& found) const {
  std::string copy;
  const std::string_view valid = ValidUtf8(text, copy);
  const auto* begin = reinterpret_cast<const OnigUChar*>(valid.data());
  const OnigUChar* end = begin + valid.size();
  const std::unique_ptr<OnigRegion, FreeRegion> region(onig_region_new());
  const std::unique_ptr<OnigMatchParam, FreeParam> param(onig_new_match_param());
  onig_initialize_match_param(param.get());
  onig_set_retry_limit_in_match_of_match_param(param.get(), kRetryLimit);
  const OnigUChar* start = begin;
  size_t last_end = std::string_view::npos;
  while (start <= end) {
    const int status =
        onig_search_with_param(static_cast<OnigRegex>(regex_.get()), begin, end, start, end,
                               region.get(), ONIG_OPTION_NONE, param.get());
    if (status == ONIG_MISMATCH) return true;
    if (status < 0) return false;
    const auto match_begin = static_cast<size_t>(region->beg[0]);
    const auto match_end = static_cast<size_t>(region->end[0]);
    if (match_begin == match_end && match_end == last_end) {  // empty, right behind the last one
      if (start == end) return true;
      start += DecodeUtf8(reinterpret_cast<const char*>(start), reinterpret_cast<const char*>(end))
                   .bytes;
      continue;
    }
    found(match_begin, match_end);
    last_end = match_end;
    start = begin + match_end;
  }
  return true;
}

}  // namespace fulmen
