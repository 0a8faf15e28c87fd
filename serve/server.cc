#include "serve/server.h"

#include <boost/asio/thread_pool.hpp>
#include <utility>

#include "base/clock.h"
#include "serve/openapi.h"
#include "serve/service.h"

namespace fulmen {
namespace {

// Requests are read, rendered and encoded here, and answers are kept.
constexpr size_t kWorkers = 2;
// Grammars are made here, which may take long: nobody else waits behind them.
constexpr size_t kCompilers = 2;

// Tells of itself, too.
Route OpenApiRoute(std::vector<Route> routes, const std::string& version) {
  Route route = {"GET", "/openapi.json", nullptr, Access::kAnyone, "These routes, for programs"};
  routes.push_back(route);
  route.handler = [document = OpenApiOf(routes, version)](
                      Exchange& exchange, const PathValues&) -> boost::asio::awaitable<void> {
    HttpResponse response = HttpResponse::OfJson(document);
    co_await exchange.Respond(std::move(response));
  };
  return route;
}

std::unique_ptr<Callers> MakeCallers(const ServerOptions& options) {
  if (options.ledger != nullptr) return CallersOf(*options.ledger);
  if (!options.keys.empty()) return CallersOf(options.keys);
  return nullptr;
}

}  // namespace

struct Server::Impl {
  Impl(std::vector<std::unique_ptr<ServedModel>> served, SessionStore* sessions,
       ResponseStore* responses, const ServerOptions& options)
      : models(std::move(served)),
        metrics(models),
        answering(models, sessions, metrics, workers, compilers, options.ledger, options.answering),
        idempotency(options.ledger, options.answering.sign_of_life),
        callers(MakeCallers(options)),
        service{models,          answering,     idempotency,
                metrics,         sessions,      responses,
                options.ledger,  callers.get(), !options.http.tls_certificate.empty(),
                options.version, SecondsNow()} {}
  ~Impl() {
    // Calls that were cut off still wait in their coroutines, for workers and for engines; both
    // have to be done before these go.
    compilers.join();
    workers.join();
    for (const auto& model : models) model->Stop();
    if (service.ledger != nullptr) service.ledger->Flush();
    http.reset();
  }

  std::vector<std::unique_ptr<ServedModel>> models;
  boost::asio::thread_pool workers{kWorkers};
  boost::asio::thread_pool compilers{kCompilers};
  Metrics metrics;
  Answering answering;
  Idempotency idempotency;
  std::unique_ptr<Callers> callers;
  Service service;
  std::unique_ptr<HttpServer> http;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::Listen(std::vector<std::unique_ptr<ServedModel>> models,
                                               SessionStore* sessions, ResponseStore* responses,
                                               ServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(models), sessions, responses, options);
  if (impl->callers) {
    options.http.authorize = AuthorizeBy(*impl->callers, impl->service.over_tls);
  }
  options.http.finished = [&metrics = impl->metrics, log = options.log](const HttpRecord& record) {
    metrics.CountExchange(record);
    if (log) log(record);
  };
  std::vector<Route> routes = PageRoutes();
  for (auto make : {ApiRoutes, ResponseRoutes, ModelRoutes, TokenRoutes, SessionRoutes, LoginRoutes,
                    AdminRoutes}) {
    for (Route& route : make(impl->service)) routes.push_back(std::move(route));
  }
  routes.push_back(OpenApiRoute(routes, impl->service.version));
  FULMEN_ASSIGN(impl->http, HttpServer::Listen(std::move(options.http), std::move(routes)));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

uint16_t Server::port() const { return impl_->http->port(); }
void Server::Run() { impl_->http->Run(); }
void Server::Drain(double seconds) {
  impl_->http->Post([impl = impl_.get()] { impl->service.is_draining = true; });
  impl_->http->Drain(seconds);
}

}  // namespace fulmen
