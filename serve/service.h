// What the routes of a server share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accounts/ledger.h"
#include "engine/session_store.h"
#include "serve/answering.h"
#include "serve/callers.h"
#include "serve/http.h"
#include "serve/idempotency.h"
#include "serve/metrics.h"
#include "serve/response_store.h"
#include "serve/served_model.h"

namespace fulmen {

struct Service {
  std::vector<std::unique_ptr<ServedModel>>& models;  // at least one
  Answering& answering;
  Idempotency& idempotency;
  Metrics& metrics;
  SessionStore* sessions;    // null: none are kept
  ResponseStore* responses;  // null: none are stored
  Ledger* ledger;            // null: nobody pays
  Callers* callers;          // null: everybody may ask
  bool over_tls;
  std::string version;       // of Fulmen
  int64_t started;           // seconds since 1970
  bool is_draining = false;  // takes no more requests. Of the I/O thread
};

// The session that a body names, which goes out of it; "" where it names none.
ApiResult<std::string> TakeSession(Json& body);

// Answers a call in the session that the request's header names, if it does.
boost::asio::awaitable<void> AnswerCall(Service& service, Exchange& exchange,
                                        std::unique_ptr<ApiCall> call, Answering::KeepAnswer keep);

// Works an answer out on a worker, then sends it, or the error in its place. What `work` refers to
// must live until then; within co_await it is named first, as for OnWorkers.
using AnswerWork = std::function<ApiResult<HttpResponse>()>;
boost::asio::awaitable<void> RespondFromWorker(Service& service, Exchange& exchange,
                                               AnswerWork work);

// Each makes routes that refer to `service`.
std::vector<Route> ApiRoutes(Service& service);       // three of the four APIs
std::vector<Route> ResponseRoutes(Service& service);  // the fourth, OpenAI's Responses
std::vector<Route> ModelRoutes(Service& service);     // models, health, properties, metrics
std::vector<Route> TokenRoutes(Service& service);     // tokenize, detokenize, apply-template
std::vector<Route> SessionRoutes(Service& service);   // /v1/sessions
std::vector<Route> LoginRoutes(Service& service);     // who asks, and browsers' sign-ins
std::vector<Route> AdminRoutes(Service& service);     // /admin, where there is a ledger
std::vector<Route> PageRoutes();                      // the page at /

}  // namespace fulmen
