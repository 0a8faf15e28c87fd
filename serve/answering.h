// Has engines answer a call of an API, and its client hear of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/session_store.h"
#include "serve/api_call.h"
#include "serve/event_queue.h"
#include "serve/http.h"
#include "serve/metered_call.h"
#include "serve/metrics.h"
#include "serve/on_workers.h"
#include "serve/served_model.h"
#include "serve/session_claims.h"
#include "serve/turn.h"

namespace fulmen {

struct AnsweringOptions {
  // Without a word for so long a stream gets a comment, and a client of Node that waits for a whole
  // answer an interim one: both give up after five minutes of silence.
  std::chrono::seconds sign_of_life{15};
  double seconds = 0;  // an answer may take; 0: as long as it likes
};

// Of the I/O thread. Models, store, metrics, ledger and workers must outlive it and the calls it
// answers; `compilers` make grammars. Without a ledger nobody pays.
class Answering {
 public:
  Answering(std::vector<std::unique_ptr<ServedModel>>& models, SessionStore* store,
            Metrics& metrics, boost::asio::thread_pool& workers,
            boost::asio::thread_pool& compilers, Ledger* ledger, AnsweringOptions options)
      : models_(models),
        store_(store),
        metrics_(metrics),
        workers_(workers),
        compilers_(compilers),
        ledger_(ledger),
        options_(options) {}

  // Until the client has its answer, or has left: then nothing is computed for it any more. An
  // answer that is recorded goes on until it ends or is stopped, and is then told to its end.
  // `keep`, if there is one, is called on a worker when the
  // answer is whole, and before the client hears so: what is to be stored of it.
  using KeepAnswer = std::function<ApiResult<void>()>;
  boost::asio::awaitable<void> Answer(Exchange& exchange, std::unique_ptr<ApiCall> call,
                                      KeepAnswer keep);

  // The model of this name; the first one where it is empty.
  ApiResult<ServedModel*> FindModel(std::string_view name) const;
  RecallAnswer RecallOf(const ServedModel& model, const std::string& space) const;
  // Counts the tokens of a prompt, as Answer would make it. Not for the I/O thread.
  ApiResult<std::vector<int32_t>> PromptIds(const Generation& generation,
                                            const std::string& space) const;

  const SessionClaims& claims() const { return claims_; }
  SessionStore* store() const { return store_; }
  boost::asio::thread_pool& workers() const { return workers_; }

 private:
  struct Under;  // a call under way
  ApiResult<std::vector<Turn>> MakeTurns(std::vector<Generation> generations,
                                         const std::string& space) const;
  boost::asio::awaitable<ApiResult<void>> Constrain(std::vector<Turn>& turns);
  boost::asio::awaitable<ApiResult<void>> Begin(Under& under);
  static int64_t FirstAllowance(const Request& request);
  boost::asio::awaitable<ApiResult<void>> Meter(Under& under);
  static EventSink Listener(const Under& under, size_t index);
  ApiResult<void> Submit(Under& under) const;
  static std::vector<std::pair<std::string, std::string>> HeadersOf(const Under& under);
  boost::asio::awaitable<void> Relay(Under& under);
  boost::asio::awaitable<void> Take(Under& under, EventQueue::Entry entry);
  boost::asio::awaitable<void> TakeFinished(Under& under, size_t generation,
                                            AnswerFinished& finished);
  boost::asio::awaitable<void> TakeDone(Under& under, size_t generation, const RequestDone& done);
  boost::asio::awaitable<void> Keep(Under& under, size_t generation, const AnswerFinished& finished,
                                    const Json& info);
  static Json InfoOf(const Under& under, const Turn& turn, FinishReason reason,
                     const RequestDone& done);
  boost::asio::awaitable<void> Settle(Under& under);
  boost::asio::awaitable<void> EndLeft(Under& under);
  boost::asio::awaitable<void> SignOfLife(Under& under);

  std::vector<std::unique_ptr<ServedModel>>& models_;
  SessionStore* store_;
  Metrics& metrics_;
  boost::asio::thread_pool& workers_;
  boost::asio::thread_pool& compilers_;
  Ledger* ledger_;
  const AnsweringOptions options_;
  SessionClaims claims_;
};

}  // namespace fulmen
