#include "base/parse_number.h"

#include <charconv>
#include <cmath>
#include <type_traits>

namespace fulmen {
namespace {

// Long values fill no screen.
std::string Quoted(std::string_view text) {
  constexpr size_t kMost = 40;
  return text.size() <= kMost ? fmt::format("\"{}\"", text)
                              : fmt::format("\"{}\"...", text.substr(0, kMost));
}

}  // namespace

template <class T>
Result<T> ParseNumber(std::string_view text, Range<T> range) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  bool whole = stop == end && error == std::errc();
  if constexpr (std::is_floating_point_v<T>) whole = whole && std::isfinite(number);
  if (whole && number >= range.low && number <= range.high) return number;
  if (stop == end && error == std::errc::result_out_of_range) {
    return Fail(ErrorCode::kInvalidArgument, "should be {}, found {}, beyond {} to {}",
                DescribeRange(range), Quoted(text), range.low, range.high);
  }
  return Fail(ErrorCode::kInvalidArgument, "should be {}, found {}", DescribeRange(range),
              Quoted(text));
}

template <class T>
std::string DescribeRange(Range<T> range) {
  std::string kind = std::is_floating_point_v<T> ? "a number" : "a whole number";
  const bool from = range.low > Range<T>().low || std::is_unsigned_v<T>;
  const bool to = range.high < Range<T>().high;
  if (from && to) return fmt::format("{} from {} to {}", kind, range.low, range.high);
  if (from) return fmt::format("{} of at least {}", kind, range.low);
  if (to) return fmt::format("{} of at most {}", kind, range.high);
  return kind;
}

template Result<int32_t> ParseNumber(std::string_view, Range<int32_t>);
template Result<int64_t> ParseNumber(std::string_view, Range<int64_t>);
template Result<uint64_t> ParseNumber(std::string_view, Range<uint64_t>);
template Result<float> ParseNumber(std::string_view, Range<float>);
template Result<double> ParseNumber(std::string_view, Range<double>);
template std::string DescribeRange(Range<int32_t>);
template std::string DescribeRange(Range<int64_t>);
template std::string DescribeRange(Range<uint64_t>);
template std::string DescribeRange(Range<float>);
template std::string DescribeRange(Range<double>);

}  // namespace fulmen
