// Requests that carry an Idempotency-Key: computed and charged once, however often they are sent.
//
// Such a request goes on when its client leaves. Who sends it again, or asks for it by its key
// alone, reads along while it is under way and gets the kept answer after that: for a day, also
// from a server that was started since, where there is a ledger; else from memory, while it has
// room, for an hour. What was refused before work, what failed and what was cancelled is not kept.
// Only its owner finds it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "accounts/ledger.h"
#include "serve/http.h"
#include "serve/recent_answers.h"
#include "serve/recorded_answer.h"

namespace fulmen {

// Of the I/O thread.
class Idempotency {
 public:
  // `ledger` may be null.
  Idempotency(Ledger* ledger, std::chrono::seconds sign_of_life)
      : ledger_(ledger), sign_of_life_(sign_of_life) {}

  // `handler`, once for all requests that are the same.
  RouteHandler Once(RouteHandler handler);
  // Sends the answer of this name to its owner, from its beginning, or a 404.
  boost::asio::awaitable<void> ReadAlong(Exchange& client, std::string name);
  // Ends the answer of this name that is under way here. False: there is none of the owner's.
  bool Stop(const std::string& owner, const std::string& name);

 private:
  using Id = std::pair<std::string, std::string>;  // owner and name
  boost::asio::awaitable<void> Answer(const RouteHandler& handler, Exchange& client,
                                      const PathValues& values);
  // The one under way here, or the kept one; neither where it is to be computed now.
  struct Found {
    std::shared_ptr<RecordedAnswer> running;
    std::optional<KeptAnswer> kept;
  };
  // A name without a hash stands for any request.
  boost::asio::awaitable<ApiResult<Found>> Find(Exchange& client, const AnswerName& name);
  boost::asio::awaitable<Result<std::optional<KeptAnswer>>> FindKept(const AnswerName& name);
  boost::asio::awaitable<void> Send(Exchange& client, const Found& found);
  boost::asio::awaitable<void> Make(RouteHandler handler, HttpRequest request, PathValues values,
                                    std::shared_ptr<RecordedAnswer> record);

  Ledger* ledger_;
  const std::chrono::seconds sign_of_life_;
  std::map<Id, std::shared_ptr<RecordedAnswer>> running_;
  RecentAnswers recent_;  // without a ledger
};

}  // namespace fulmen
