// What the ledger holds for a call: nothing is computed before it is admitted, no more than is held
// for, and the row of what was used is kept before its client hears the end.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "accounts/ledger.h"
#include "engine/engine.h"
#include "serve/http.h"

namespace fulmen {

// Of the I/O thread but for Extend. The ledger must outlive it, and what it asked of the ledger.
class MeteredCall {
 public:
  // Errors are those of the ledger, told as the API has them.
  static boost::asio::awaitable<ApiResult<std::unique_ptr<MeteredCall>>> Admit(Ledger& ledger,
                                                                               Ask ask,
                                                                               ApiStyle style);
  // What has not been settled is, with nothing charged: the server failed or is about to end.
  ~MeteredCall();
  MeteredCall(const MeteredCall&) = delete;
  MeteredCall& operator=(const MeteredCall&) = delete;

  // What is left of the key's limits, for the head of the answer.
  const std::vector<std::pair<std::string, std::string>>& headers() const { return headers_; }

  // From any thread: has more held for a request of the call that has little left to sample, and
  // tells its engine. The engine must outlive what is asked of the ledger.
  void Extend(Engine& engine, RequestId id) const;
  // Whether that failed once: then answers may end without the money being at an end.
  bool could_not_ask() const { return *could_not_ask_; }

  // What one of its requests used.
  void Add(const Usage& usage);
  // What it comes to with what was added.
  struct Cost {
    std::string amount;  // decimal
    std::string currency;
  };
  Cost cost() const;
  // Its row, which says how it ended, and the answer where it is to be kept. What failed is neither
  // charged nor kept. The second time it does nothing. Where the ledger cannot be written it is an
  // error, and the request is ended without a charge as soon as it can.
  boost::asio::awaitable<ApiResult<void>> Settle(std::string outcome,
                                                 std::optional<KeptAnswer> answer = {});

 private:
  MeteredCall(Ledger& ledger, std::string request)
      : ledger_(ledger), request_(std::move(request)) {}

  Ledger& ledger_;
  const std::string request_;
  std::vector<std::pair<std::string, std::string>> headers_;
  Prices prices_;
  std::string currency_;
  TokenCounts used_;
  bool is_settled_ = false;
  // Of the ledger's thread, too, which may tell when this is gone.
  const std::shared_ptr<std::atomic<bool>> could_not_ask_ =
      std::make_shared<std::atomic<bool>>(false);
};

// The outcome of what failed.
inline constexpr const char* kFailedOutcome = "error";

// As x-ratelimit-… or anthropic-ratelimit-…; of limits that there are. `now` in nanoseconds.
std::vector<std::pair<std::string, std::string>> LimitHeaders(ApiStyle style, const Limits& limits,
                                                              int64_t now);

}  // namespace fulmen
