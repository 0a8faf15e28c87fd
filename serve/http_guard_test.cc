// Who may ask at all: hosts, origins, types of bodies, keys.
#include "serve/http_guard.h"
#include "serve/callers.h"

#include <gtest/gtest.h>

#include <atomic>

#include "serve/testing/http_client.h"

namespace fulmen {
namespace {

// Counts the requests that were worked for.
struct Counted {
  explicit Counted(HttpServerOptions options) : server(std::move(options), Routes()) {}

  std::vector<Route> Routes() {
    const auto count = [this](const HttpRequest&, const PathValues&) { return Json(++calls); };
    std::vector<Route> routes = {JsonRoute("GET", "/", count), JsonRoute("POST", "/v1/x", count),
                                 JsonRoute("POST", "/v1/messages", count),
                                 JsonRoute("GET", "/health", count)};
    routes.back().access = Access::kAnyone;
    return routes;
  }
  int Get(const std::string& host, std::string_view headers = "") const {
    return server.StatusOf(fmt::format("GET / HTTP/1.1\r\nHost: {}\r\n{}\r\n", host, headers));
  }
  int Post(std::string_view headers, std::string_view body = "{}") const {
    return server.Ask("POST /v1/x", headers, body).status;
  }

  std::atomic<int> calls = 0;
  TestServer server;
};

TEST(HttpGuard, HostMustBeOurs) {
  const Counted counted({.allowed_hosts = {"Fulmen.example", "proxy.example:8443"}});
  const std::string port = ":" + std::to_string(counted.server.port());
  for (const std::string& host :
       {"localhost" + port, "LOCALHOST." + port, "127.0.0.1" + port, "127.9.9.9" + port,
        "[::1]" + port, "[::ffff:127.0.0.1]" + port, std::string("fulmen.example"),
        std::string("fulmen.example:1"), std::string("proxy.example:8443")}) {
    EXPECT_EQ(counted.Get(host), 200) << host;
  }
  const int calls = counted.calls;
  for (const std::string& host :
       {std::string("localhost"), std::string("localhost:1"), "evil.example" + port,
        "localhost.evil.example" + port, "127.0.0.1.evil.example" + port, "10.0.0.1" + port,
        "0.0.0.0" + port, "a@localhost" + port, "localhost:1" + port, std::string(""),
        std::string("proxy.example"), std::string("x.fulmen.example"), "2130706433" + port}) {
    EXPECT_EQ(counted.Get(host), 403) << host;
  }
  // The target overrides the header, and there is just one header.
  const TestServer& server = counted.server;
  EXPECT_EQ(server.Ask("GET http://evil.example" + port + "/").status, 403);
  EXPECT_EQ(server.Ask("GET /", "Host: " + server.host() + "\r\n").status, 400);
  EXPECT_EQ(server.StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(counted.calls, calls);
  EXPECT_EQ(server.StatusOf("GET / HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(Counted({.allowed_hosts = {"*"}}).Get("evil.example"), 200);
}

TEST(HttpGuard, ForeignPagesNeedToBeAllowed) {
  const Counted counted({.cors_origins = {"https://good.example"}});
  const std::string own = "Origin: http://" + counted.server.host() + "\r\n";
  EXPECT_EQ(counted.Post(own + "Sec-Fetch-Site: same-origin\r\n"), 200);
  EXPECT_EQ(counted.Post("Origin: https://good.example\r\nSec-Fetch-Site: cross-site\r\n"), 200);
  EXPECT_EQ(counted.Post("Sec-Fetch-Site: none\r\n"), 200);
  const int calls = counted.calls;
  for (const char* headers :
       {"Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: http://localhost:1\r\n",
        "Sec-Fetch-Site: cross-site\r\n", "Origin: https://good.example.evil\r\n",
        "Origin: https://evil.example\r\nAuthorization: Bearer x\r\n"}) {
    EXPECT_EQ(counted.Post(headers), 403) << headers;
  }
  EXPECT_EQ(counted.calls, calls);
  // An image of another site's page, a frame, and a link on it.
  const std::string cross = "Sec-Fetch-Site: cross-site\r\n";
  const std::string host = counted.server.host();
  EXPECT_EQ(counted.Get(host, cross + "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"), 403);
  EXPECT_EQ(counted.Get(host, cross + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"),
            403);
  EXPECT_EQ(counted.Get(host, cross + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"),
            200);
  EXPECT_EQ(counted.Post(cross + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"), 403);
}

TEST(HttpGuard, FormsStartNothing) {
  const Counted counted({});
  const auto typed = [](std::string_view type) {
    return fmt::format("content-type: {}\r\n", type);
  };
  EXPECT_EQ(counted.Post(""), 200);
  EXPECT_EQ(counted.Post(typed("application/json")), 200);
  EXPECT_EQ(counted.Post(typed("Application/JSON; charset=utf-8")), 200);
  const std::string form = typed("application/x-www-form-urlencoded");
  EXPECT_EQ(counted.Post(form), 200);  // curl -d
  const std::string own = "Origin: http://" + counted.server.host() + "\r\n";
  const int calls = counted.calls;
  EXPECT_EQ(counted.Post(form + own), 415);
  EXPECT_EQ(counted.Post(form + "Sec-Fetch-Site: same-origin\r\n"), 415);
  EXPECT_EQ(counted.Post(typed("text/plain")), 415);
  EXPECT_EQ(counted.Post(typed("Text/Plain ; charset=utf-8")), 415);
  EXPECT_EQ(counted.Post(typed("multipart/form-data; boundary=x")), 415);
  EXPECT_EQ(counted.calls, calls);
}

TEST(HttpGuard, CorsWithoutKeys) {
  const Counted counted({.cors_origins = {"https://good.example"}});
  const TestServer& server = counted.server;
  const std::string good = "Origin: https://good.example\r\n";
  const std::string ask =
      "Access-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: authorization,x-stainless-os,session\r\n";
  RawAnswer answer = server.Ask("OPTIONS /v1/x", good + ask);
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.Header("access-control-allow-origin"), "https://good.example");
  EXPECT_EQ(answer.Header("access-control-allow-methods"), "post");
  EXPECT_EQ(answer.Header("access-control-allow-headers"), "authorization,x-stainless-os,session");
  EXPECT_EQ(answer.Header("access-control-allow-credentials"), "");
  EXPECT_EQ(answer.Header("vary"), "origin");
  answer = server.Ask("POST /v1/x", good, "{}");
  EXPECT_EQ(answer.Header("access-control-allow-origin"), "https://good.example");
  EXPECT_EQ(answer.Header("access-control-expose-headers"), "*");
  EXPECT_EQ(server.Ask("GET /nowhere", good).Header("access-control-allow-origin"),
            "https://good.example");
  answer = server.Ask("OPTIONS /v1/x", "Origin: https://evil.example\r\n" + ask);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.Header("access-control-allow-origin"), "");
  EXPECT_EQ(server.Ask("POST /v1/x", "", "{}").Header("access-control-allow-origin"), "");
}

TEST(HttpGuard, KeysOpenTheServerToEveryPage) {
  const auto callers = CallersOf({"sk-one", "sk-two"});
  const Counted counted({.authorize = AuthorizeBy(*callers, /*over_tls=*/false)});
  const TestServer& server = counted.server;
  const std::string evil = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
  const RawAnswer preflight =
      server.Ask("OPTIONS /v1/x", evil + "Access-Control-Request-Method: POST\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.Header("access-control-allow-origin"), "*");
  EXPECT_EQ(preflight.Header("access-control-allow-credentials"), "");
  EXPECT_EQ(counted.Post(evil), 403);
  EXPECT_EQ(counted.Post(evil + "x-api-key: sk-three\r\n"), 401);
  EXPECT_EQ(counted.calls, 0);
  EXPECT_EQ(counted.Post(evil + "x-api-key: sk-two\r\n"), 200);
  // What needs no key is not given to other pages either.
  EXPECT_EQ(server.Ask("GET /health", evil).status, 403);
  EXPECT_EQ(server.Ask("GET /health").status, 200);
}

TEST(HttpGuard, KeysAreTakenFromEitherHeader) {
  const auto callers = CallersOf({"sk-one", "sk-two"});
  const Counted counted({.authorize = AuthorizeBy(*callers, /*over_tls=*/false)});
  for (const char* header :
       {"Authorization: Bearer sk-one", "authorization: bearer  sk-two", "X-Api-Key: sk-one",
        "Authorization: Basic eDp5\r\nx-api-key: sk-one"}) {
    EXPECT_EQ(counted.Post(std::string(header) + "\r\n"), 200) << header;
  }
  const int calls = counted.calls;
  for (const char* header : {"Authorization: Bearer sk-on", "Authorization: sk-one", "X-Api-Key:",
                             "Authorization: Bearer", "x-api-key: sk-one, sk-two", "X: y"}) {
    EXPECT_EQ(counted.Post(std::string(header) + "\r\n"), 401) << header;
  }
  EXPECT_EQ(counted.calls, calls);
  const RawAnswer answer = counted.server.Ask("POST /v1/messages", "", "{}");
  EXPECT_EQ(Json::parse(answer.body)["error"]["type"], "authentication_error");
  EXPECT_EQ(answer.Header("www-authenticate"), "bearer");
  EXPECT_EQ(answer.Header("connection"), "close");  // nobody waits for the body
}

}  // namespace
}  // namespace fulmen
