#include "accounts/money.h"

namespace fulmen {
namespace {

constexpr int kDecimals = 9;
constexpr uint64_t kUnit = 1'000'000'000;

tl::unexpected<Error> TooLarge() {
  return Fail(ErrorCode::kInvalidArgument, "an amount of money is too large");
}

}  // namespace

Result<Money> ParseMoney(std::string_view text) {
  const auto bad = [&] {
    return Fail(ErrorCode::kInvalidArgument,
                "an amount is a decimal with at most {} digits after the point, found '{}'",
                kDecimals, text);
  };
  const bool negative = text.starts_with('-');
  const std::string_view digits = text.substr(negative ? 1 : 0);
  const size_t point = digits.find('.');
  const std::string_view whole = digits.substr(0, point);
  const std::string_view part =
      point == std::string_view::npos ? std::string_view() : digits.substr(point + 1);
  if (whole.empty() || part.size() > kDecimals) return bad();
  if (point != std::string_view::npos && part.empty()) return bad();
  std::string all(whole);
  all += part;
  all.append(kDecimals - part.size(), '0');
  int64_t nanos = 0;
  for (const char c : all) {
    if (c < '0' || c > '9') return bad();
    // Towards the sign from the start, since the lowest amount has no positive twin.
    const int64_t digit = negative ? '0' - c : c - '0';
    if (__builtin_mul_overflow(nanos, int64_t{10}, &nanos) ||
        __builtin_add_overflow(nanos, digit, &nanos)) {
      return TooLarge();
    }
  }
  return Money{nanos};
}

std::string FormatMoney(Money money) {
  const bool negative = money.nanos < 0;
  const auto bits = static_cast<uint64_t>(money.nanos);
  const uint64_t size = negative ? 0 - bits : bits;
  std::string text = fmt::format("{}{}", negative ? "-" : "", size / kUnit);
  if (size % kUnit == 0) return text;
  text += fmt::format(".{:09}", size % kUnit);
  text.resize(text.find_last_not_of('0') + 1);
  return text;
}

Result<Money> Add(Money a, Money b) {
  Money sum;
  if (__builtin_add_overflow(a.nanos, b.nanos, &sum.nanos)) return TooLarge();
  return sum;
}

Result<Money> Multiply(Money each, int64_t count) {
  Money product;
  if (__builtin_mul_overflow(each.nanos, count, &product.nanos)) return TooLarge();
  return product;
}

}  // namespace fulmen
