// Requests that carry an Idempotency-Key: computed and charged once, however often they are sent.
//
// Such a request goes on when its client leaves. Who sends it again, with the same key of the
// ledger, reads along while it is under way and gets the kept answer for a day after that, also
// from a server that was started since. What was refused before work, and what failed, is not kept.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "accounts/ledger.h"
#include "serve/http.h"
#include "serve/recorded_answer.h"

namespace fulmen {

// Of the I/O thread.
class Idempotency {
 public:
  // Without a ledger the header means nothing.
  Idempotency(Ledger* ledger, std::chrono::seconds sign_of_life)
      : ledger_(ledger), sign_of_life_(sign_of_life) {}

  // `handler`, once for all requests that are the same.
  RouteHandler Once(RouteHandler handler);
  // Ends the answer to a request of this key that is under way here. False: there is none.
  bool Stop(const std::string& key, const std::string& name);

 private:
  using Id = std::pair<std::string, std::string>;  // key and name
  boost::asio::awaitable<void> Answer(const RouteHandler& handler, Exchange& client,
                                      const PathValues& values);
  // The one under way here, or the kept one; neither where it is to be computed now.
  struct Found {
    std::shared_ptr<RecordedAnswer> running;
    std::optional<KeptAnswer> kept;
  };
  boost::asio::awaitable<ApiResult<Found>> Find(Exchange& client, const AnswerName& name);
  boost::asio::awaitable<void> Make(RouteHandler handler, HttpRequest request, PathValues values,
                                    std::shared_ptr<RecordedAnswer> record);

  Ledger* ledger_;
  const std::chrono::seconds sign_of_life_;
  std::map<Id, std::shared_ptr<RecordedAnswer>> running_;
};

}  // namespace fulmen
