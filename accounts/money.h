// Amounts of money, exact: nothing is ever rounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// In 10^-9 of a currency's unit; which currency, whoever holds it knows.
struct Money {
  int64_t nanos = 0;

  bool operator==(const Money&) const = default;
};

// A decimal such as "-12.5", with at most nine digits after the point. What does not fit is an
// error.
Result<Money> ParseMoney(std::string_view text);

// The shortest such decimal. Money leaves every API in this form: a number of JavaScript is exact
// up to 9,007,199 units only.
std::string FormatMoney(Money money);

// Errors where the result does not fit.
Result<Money> Add(Money a, Money b);
Result<Money> Multiply(Money each, int64_t count);

}  // namespace fulmen
