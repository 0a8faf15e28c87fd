#include "accounts/price.h"

#include <utility>

namespace fulmen {

Result<Money> Cost(const TokenCounts& tokens, const Prices& prices) {
  const std::pair<int64_t, Money> classes[] = {{tokens.text, prices.text},
                                               {tokens.cached, prices.cached},
                                               {tokens.image, prices.image},
                                               {tokens.output, prices.output}};
  for (const auto& [count, price] : classes) {
    if (count < 0 || price.nanos < 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "tokens and prices are not negative, found {} tokens at {}", count,
                  FormatMoney(price));
    }
  }
  // Taken away one by one, since a sum might overflow.
  if (tokens.text > tokens.prompt || tokens.cached > tokens.prompt - tokens.text ||
      tokens.image != tokens.prompt - tokens.text - tokens.cached) {
    return Fail(ErrorCode::kInvalidArgument,
                "the {} tokens of a prompt are expected in one class each, found {} of text, {} "
                "cached and {} of images",
                tokens.prompt, tokens.text, tokens.cached, tokens.image);
  }
  if (tokens.reasoning < 0 || tokens.reasoning > tokens.output) {
    return Fail(ErrorCode::kInvalidArgument, "{} tokens of reasoning in an output of {}",
                tokens.reasoning, tokens.output);
  }
  Money total;
  for (const auto& [count, price] : classes) {
    FULMEN_ASSIGN(const Money part, Multiply(price, count));
    FULMEN_ASSIGN(total, Add(total, part));
  }
  return total;
}

}  // namespace fulmen
