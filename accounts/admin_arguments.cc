#include "accounts/admin_arguments.h"

#include <limits>

#include "base/parse_number.h"
#include "base/printable.h"

namespace fulmen {
namespace {

constexpr int64_t kMillion = 1'000'000;

tl::unexpected<Error> Wrong(const std::string& name, std::string_view what, const Json& found) {
  return Fail(ErrorCode::kInvalidArgument, "{}: expected {}, found {}", name, what, Shown(found));
}

}  // namespace

const Json* AdminArguments::Take(const std::string& name) {
  taken_.insert(name);
  const Json& value = Member(json_, name);
  return value.is_null() ? nullptr : &value;
}

Result<std::optional<std::string>> AdminArguments::OptionalText(const std::string& name) {
  const Json* value = Take(name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return Wrong(name, "a string", *value);
  return std::optional(value->get<std::string>());
}

Result<std::string> AdminArguments::Text(const std::string& name) {
  FULMEN_ASSIGN(std::optional<std::string> text, OptionalText(name));
  if (text) return *std::move(text);
  return Fail(ErrorCode::kInvalidArgument, "{} is expected, found none", name);
}

Result<std::string> AdminArguments::TextOr(const std::string& name, const std::string& otherwise) {
  FULMEN_ASSIGN(std::optional<std::string> text, OptionalText(name));
  return text.value_or(otherwise);
}

Result<std::optional<int64_t>> AdminArguments::Number(const std::string& name) {
  const Json* value = Take(name);
  if (value == nullptr) return std::optional<int64_t>();
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (value->is_string()) {
    const auto number = ParseNumber<int64_t>(value->get_ref<const std::string&>(), {0, kMost});
    if (number) return std::optional(*number);
  } else if (const auto number = IntegerIn(*value, 0, kMost)) {
    return number;
  }
  return Wrong(name, "a whole number from 0 on", *value);
}

Result<std::optional<Money>> AdminArguments::Amount(const std::string& name) {
  const Json* value = Take(name);
  if (value == nullptr) return std::optional<Money>();
  // A number of JSON would have been rounded before it came here.
  if (!value->is_string()) return Wrong(name, "a decimal as a string, such as \"12.5\"", *value);
  const Result<Money> amount = ParseMoney(value->get_ref<const std::string&>());
  if (!amount) return Fail(ErrorCode::kInvalidArgument, "{}: {}", name, amount.error().message);
  return std::optional(*amount);
}

Status AdminArguments::CheckAllTaken() const {
  if (!json_.is_object()) {
    return Fail(ErrorCode::kInvalidArgument, "a JSON object is expected, found {}", Shown(json_));
  }
  for (const auto& [name, value] : json_.items()) {
    if (taken_.contains(name)) continue;
    return Fail(ErrorCode::kInvalidArgument, "there is no argument \"{}\" here", Printable(name));
  }
  return {};
}

Result<Money> PerToken(Money million, const std::string& name) {
  if (million.nanos % kMillion == 0) return Money{million.nanos / kMillion};
  return Fail(ErrorCode::kInvalidArgument,
              "{}: expected a price for a million tokens in steps of 0.001, found {}", name,
              FormatMoney(million));
}

Result<Money> PerMillion(Money token) { return Multiply(token, kMillion); }

}  // namespace fulmen
