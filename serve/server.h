// A server of models: routes, HTTP and what they share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accounts/ledger.h"
#include "base/status.h"
#include "engine/session_store.h"
#include "serve/answering.h"
#include "serve/http_server.h"
#include "serve/response_store.h"
#include "serve/served_model.h"

namespace fulmen {

struct ServerOptions {
  HttpServerOptions http;    // authorize is made from what follows
  Ledger* ledger = nullptr;  // of keys, and of what their requests cost; must outlive the server
  std::vector<std::string> keys;  // where there is no ledger: without any, everybody may ask
  AnsweringOptions answering;
  std::string version;                         // of Fulmen
  std::function<void(const HttpRecord&)> log;  // hears of every exchange, on the I/O thread
};

class Server {
 public:
  // At least one model; the first answers requests that name none. The stores may be
  // null, and must outlive the server otherwise.
  static Result<std::unique_ptr<Server>> Listen(std::vector<std::unique_ptr<ServedModel>> models,
                                                SessionStore* sessions, ResponseStore* responses,
                                                ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  // As those of HttpServer.
  void Run();
  void Drain(double seconds);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace fulmen
