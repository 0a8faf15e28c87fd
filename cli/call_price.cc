#include "cli/call_price.h"

#include <fmt/core.h>

#include <array>

#include "base/parse_number.h"
#include "call/api.h"

namespace fulmen {

Result<CallPrice> ParseCallPrice(std::string_view text) {
  constexpr double kMost = 1e9;
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "should be IN,OUT or IN,OUT,CURRENCY, as in 1,8,CNY, found \"{}\"", text);
  }
  const std::string_view rest = text.substr(comma + 1);
  const size_t second = rest.find(',');
  CallPrice price;
  FULMEN_ASSIGN(price.prompt,
                ParseNumber<double>(text.substr(0, comma), {.low = 0, .high = kMost}));
  FULMEN_ASSIGN(price.output,
                ParseNumber<double>(rest.substr(0, second), {.low = 0, .high = kMost}));
  if (second == std::string_view::npos) return price;
  price.currency = rest.substr(second + 1);
  if (price.currency.empty() || price.currency.size() > 16) {
    return Fail(ErrorCode::kInvalidArgument,
                "should end in a currency, as in 1,8,CNY, found \"{}\"", text);
  }
  return price;
}

std::optional<CallPrice> PublishedPrice(std::string_view url, std::string_view model) {
  constexpr std::array<std::string_view, 4> kHosts = {"api.minimax.io", "api.minimaxi.com",
                                                      "api.minimax.cn", "api.minimax.chat"};
  const std::string host = HostOf(url);
  for (const std::string_view known : kHosts) {
    if (host == known && (model == "MiniMax-Text-01" || model == "MiniMax-M1")) {
      return CallPrice{.prompt = 1, .output = 8, .currency = "CNY"};
    }
  }
  return std::nullopt;
}

std::optional<CallCost> CostOf(const ReplyUsage& usage, const std::optional<CallPrice>& price) {
  if (usage.cost) return CallCost{*usage.cost, usage.currency};
  if (!price || !usage.prompt || !usage.output) return std::nullopt;
  constexpr double kMillion = 1e6;
  return CallCost{(price->prompt * static_cast<double>(*usage.prompt) +
                   price->output * static_cast<double>(*usage.output)) /
                      kMillion,
                  price->currency};
}

std::string CostText(const CallCost& cost) {
  std::string amount = fmt::format("{:.9f}", cost.amount);
  amount.erase(amount.find_last_not_of('0') + 1);
  if (amount.ends_with('.')) amount.pop_back();
  return fmt::format("{}{}{}", amount, cost.currency.empty() ? "" : " ", cost.currency);
}

}  // namespace fulmen
