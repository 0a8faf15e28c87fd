// What an answer costs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "call/reply.h"

namespace fulmen {

struct CallPrice {
  double prompt = 0;  // of a million tokens
  double output = 0;
  std::string currency = {};  // "" for none named
};

// "1,8" or "1,8,CNY".
Result<CallPrice> ParseCallPrice(std::string_view text);
// As published by the company behind this address; nullopt for all others.
std::optional<CallPrice> PublishedPrice(std::string_view url, std::string_view model);

struct CallCost {
  double amount = 0;
  std::string currency = {};
};
// What the server says, or else what the price comes to. nullopt where neither is known.
std::optional<CallCost> CostOf(const ReplyUsage& usage, const std::optional<CallPrice>& price);
// "0.0021 CNY"
std::string CostText(const CallCost& cost);

}  // namespace fulmen
