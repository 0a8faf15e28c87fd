#include "serve/http_server.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "base/ascii.h"
#include "serve/testing/http_client.h"

namespace fulmen {
namespace {

using boost::asio::awaitable;

// Fails with the error that the query asks for.
awaitable<void> Fail(Exchange& exchange, const PathValues&) {
  const std::string kind = exchange.request().Query("kind");
  ApiError error{ApiErrorKind::kBusy, "busy"};
  if (kind == "internal") error.kind = ApiErrorKind::kInternal;
  if (kind == "invalid") error.kind = ApiErrorKind::kInvalid;
  const std::string seconds = exchange.request().Query("after");
  if (!seconds.empty()) error.retry_after = std::atof(seconds.c_str());
  HttpResponse response = ErrorResponse(exchange, error);
  co_await exchange.Respond(std::move(response));
}

awaitable<void> Throw(Exchange& exchange, const PathValues&) {
  if (exchange.request().Query("late") == "1") {
    HttpResponse head{.content_type = "text/event-stream"};
    co_await exchange.BeginStream(std::move(head));
    co_await exchange.Write("data: 1\n\n");
  }
  throw std::runtime_error("no such luck");
}

awaitable<void> SayNothing(Exchange&, const PathValues&) { co_return; }

// A body that an answer of this kind cannot have.
awaitable<void> NoContent(Exchange& exchange, const PathValues&) {
  HttpResponse response = HttpResponse::OfJson({{"lost", true}}, 204);
  co_await exchange.Respond(std::move(response));
}

awaitable<void> RespondTwice(Exchange& exchange, const PathValues&) {
  HttpResponse first = HttpResponse::OfJson({{"answer", 1}});
  HttpResponse second = first;
  co_await exchange.Respond(std::move(first));
  co_await exchange.Respond(std::move(second));
}

std::vector<Route> Routes() {
  std::vector<Route> routes;
  routes.push_back(JsonRoute("GET", "/hello", [](const HttpRequest&, const PathValues&) {
    return Json{{"hello", "world"}};
  }));
  routes.push_back(
      JsonRoute("GET", "/names/{name}", [](const HttpRequest& request, const PathValues& values) {
        return Json{{"name", values.at("name")}, {"q", request.Query("q")}, {"path", request.path}};
      }));
  routes.push_back(JsonRoute("POST", "/echo", [](const HttpRequest& request, const PathValues&) {
    return Json{{"body", request.body}, {"type", request.Header("CONTENT-type")}};
  }));
  routes.push_back({.method = "POST", .path = "/v1/messages", .handler = Fail});
  routes.push_back({.method = "POST", .path = "/v1/text/chatcompletion_v2", .handler = Fail});
  routes.push_back({.method = "POST", .path = "/v1/chat/completions", .handler = Fail});
  routes.push_back({.method = "GET", .path = "/throw", .handler = Throw});
  routes.push_back({.method = "GET", .path = "/nothing", .handler = SayNothing});
  routes.push_back({.method = "DELETE", .path = "/gone", .handler = NoContent});
  routes.push_back({.method = "GET", .path = "/twice", .handler = RespondTwice});
  return routes;
}

TEST(HttpServer, AnswersAndTellsOfIt) {
  TestServer server({}, Routes());
  const RawAnswer answer = server.Ask("GET /hello");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"hello":"world"})");
  EXPECT_EQ(answer.Header("content-type"), "application/json");
  EXPECT_EQ(answer.Header("x-request-id").substr(0, 4), "req_");
  EXPECT_EQ(answer.Header("x-request-id"), answer.Header("request-id"));
  EXPECT_NE(answer.Header("date").find(" gmt"), std::string::npos);
  EXPECT_EQ(answer.Header("connection"), "");
  const RawAnswer echo = server.Ask("POST /echo", "content-type: application/json\r\n", "[1]");
  EXPECT_EQ(Json::parse(echo.body)["body"], "[1]");
  EXPECT_EQ(Json::parse(echo.body)["type"], "application/json");
  ASSERT_TRUE(Eventually([&] { return server.records().size() == 2; }));
  const HttpRecord record = server.records()[1];
  EXPECT_EQ(record.method, "POST");
  EXPECT_EQ(record.route, "/echo");
  EXPECT_EQ(record.status, 200);
  EXPECT_TRUE(record.whole);
  EXPECT_EQ(record.received, 3U);
  EXPECT_EQ(record.sent, echo.head.size() + echo.body.size());
  EXPECT_EQ(LowerCase(record.id), echo.Header("request-id"));
  EXPECT_EQ(record.peer.substr(0, 10), "127.0.0.1:");
  EXPECT_GE(record.seconds, 0);
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
}

TEST(HttpServer, RoutesByDecodedSegments) {
  TestServer server({}, Routes());
  const Json name = Json::parse(server.Ask("GET /names/org%2Fa%20b?q=1%262+3").body);
  EXPECT_EQ(name["name"], "org/a b");
  EXPECT_EQ(name["q"], "1&2 3");
  EXPECT_EQ(name["path"], "/names/org/a b");
  EXPECT_EQ(server.Ask("GET http://" + server.host() + "/names/x?y").status, 200);
}

TEST(HttpServer, RefusesInTheShapeOfTheApi) {
  TestServer server({}, Routes());
  const RawAnswer missing = server.Ask("GET /v1/nowhere");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(Json::parse(missing.body)["error"]["code"], "not_found");
  const RawAnswer anthropic = server.Ask("GET /v1/messages/nowhere");
  EXPECT_EQ(Json::parse(anthropic.body)["error"]["type"], "not_found_error");
  EXPECT_EQ(LowerCase(Json::parse(anthropic.body)["request_id"].get<std::string>()),
            anthropic.Header("request-id"));
  const RawAnswer minimax = server.Ask("GET /v1/text/nowhere");
  EXPECT_EQ(minimax.status, 404);
  EXPECT_EQ(Json::parse(minimax.body)["base_resp"]["status_code"], 2013);
  const RawAnswer method = server.Ask("PUT /hello");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("allow"), "get, head");
  EXPECT_EQ(server.Ask("get /hello").status, 405);
}

TEST(HttpServer, HeadAndOptions) {
  TestServer server({}, Routes());
  RawClient client(server.port());
  client.Send(server.Request("HEAD /hello") + server.Request("GET /hello"));
  const RawAnswer head = client.Read(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("content-length"), "17");
  EXPECT_EQ(client.Read().body, R"({"hello":"world"})");
  client.Send(server.Request("DELETE /gone") + server.Request("GET /hello"));
  EXPECT_EQ(client.Read().status, 204);
  EXPECT_EQ(client.Read().body, R"({"hello":"world"})");
  EXPECT_EQ(server.Ask("HEAD /").status, 200);
  EXPECT_EQ(server.Ask("HEAD /nowhere").status, 404);
  const RawAnswer options = server.Ask("OPTIONS /echo");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.Header("allow"), "post");
  EXPECT_EQ(options.Header("content-length"), "");
  EXPECT_EQ(server.Ask("OPTIONS *").status, 204);
  EXPECT_EQ(server.Ask("OPTIONS /nowhere").status, 404);
}

TEST(HttpServer, SaysWhetherToTryAgain) {
  TestServer server({}, Routes());
  const auto ask = [&](const std::string& target) {
    return server.Ask("POST " + target, "content-type: application/json\r\n", "{}");
  };
  RawAnswer answer = ask("/v1/chat/completions?after=1.2");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.Header("retry-after"), "2");
  EXPECT_EQ(answer.Header("retry-after-ms"), "1200");
  EXPECT_EQ(answer.Header("x-should-retry"), "");
  answer = ask("/v1/chat/completions?after=100");
  EXPECT_EQ(answer.Header("retry-after"), "60");
  EXPECT_EQ(answer.Header("retry-after-ms"), "60000");
  answer = ask("/v1/messages?after=100");
  EXPECT_EQ(answer.status, 529);
  EXPECT_EQ(answer.Header("retry-after"), "100");
  answer = ask("/v1/chat/completions");
  EXPECT_EQ(answer.Header("x-should-retry"), "false");
  EXPECT_EQ(answer.Header("retry-after"), "");
  EXPECT_EQ(ask("/v1/messages?kind=internal").Header("x-should-retry"), "false");
  EXPECT_EQ(ask("/v1/messages?kind=invalid").Header("x-should-retry"), "");
}

TEST(HttpServer, AHandlerThatFailsHarmsNobodyElse) {
  TestServer server({}, Routes());
  RawClient client(server.port());
  client.Send(server.Request("GET /throw") + server.Request("GET /hello"));
  const RawAnswer failed = client.Read();
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(Json::parse(failed.body)["error"]["type"], "server_error");
  EXPECT_EQ(failed.body.find("luck"), std::string::npos);
  EXPECT_EQ(client.Read().status, 200);
  ASSERT_EQ(server.log().size(), 1U);
  EXPECT_NE(server.log()[0].find("GET /throw failed: no such luck"), std::string::npos);

  EXPECT_EQ(server.Ask("GET /nothing").status, 500);
  const RawAnswer late = server.Ask("GET /throw?late=1");
  EXPECT_EQ(late.status, 200);
  EXPECT_EQ(late.body, "data: 1\n\n");
  EXPECT_FALSE(late.whole);
  client.Send(server.Request("GET /twice") + server.Request("GET /hello"));
  EXPECT_EQ(client.Read().body, R"({"answer":1})");
  EXPECT_EQ(client.Read().body, R"({"hello":"world"})");
  EXPECT_EQ(server.log().size(), 4U);
}

TEST(HttpServer, KeepsConnectionsAsHttpSays) {
  TestServer server({}, Routes());
  const std::string host = "Host: " + server.host() + "\r\n";
  RawClient modern(server.port());
  modern.Send("GET /hello HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n");
  EXPECT_EQ(modern.Read().Header("connection"), "close");
  EXPECT_TRUE(modern.IsAtEnd());
  RawClient old(server.port());
  old.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().Header("connection"), "close");
  EXPECT_TRUE(old.IsAtEnd());
  RawClient kept(server.port());
  for (int i = 0; i < 2; ++i) {
    kept.Send("GET /hello HTTP/1.0\r\n" + host + "Connection: Keep-Alive\r\n\r\n");
    EXPECT_EQ(kept.Read().Header("connection"), "keep-alive");
  }
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  TestServer server({}, Routes());
  std::string requests;
  for (int i = 0; i < 3000; ++i) {
    requests += server.Request(fmt::format("GET /names/{}", i));
    // A line that some clients send behind a body.
    if (i % 3 == 0) requests += server.Request("POST /echo", "", "[]") + "\r\n";
  }
  RawClient client(server.port());
  std::thread sender([&] { client.Send(requests); });
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(Json::parse(client.Read().body)["name"], std::to_string(i));
    if (i % 3 == 0) {
      ASSERT_EQ(Json::parse(client.Read().body)["body"], "[]");
    }
  }
  sender.join();
  // One byte at a time.
  for (const char byte : server.Request("POST /echo", "X: y\r\n", "[1]")) client.Send({&byte, 1});
  EXPECT_EQ(Json::parse(client.Read().body)["body"], "[1]");
}

TEST(HttpServer, AnswersAClientThatHasSaidAll) {
  TestServer server({}, Routes());
  RawClient client(server.port());
  client.Send(server.Request("GET /hello") + server.Request("GET /names/x"));
  client.HalfClose();
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_TRUE(client.IsAtEnd());
}

TEST(HttpServer, TakesAndGivesLargeBodies) {
  std::string body(size_t{64} << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  const auto echo = [](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse response{.content_type = "application/octet-stream"};
    response.body = exchange.TakeBody();
    co_await exchange.Respond(std::move(response));
  };
  TestServer server({}, {{.method = "POST", .path = "/echo", .handler = echo}});
  RawClient client(server.port());
  client.Send(server.Request("POST /echo", "", body));
  EXPECT_TRUE(client.Read().body == body);
  // In 64 pieces, and how long they are is said before each.
  const std::string_view all = body;
  client.Send(server.Request("POST /echo", "Transfer-Encoding: chunked\r\n"));
  for (size_t at = 0; at < all.size(); at += size_t{1} << 20) {
    client.Send("100000\r\n");
    client.Send(all.substr(at, size_t{1} << 20));
    client.Send("\r\n");
  }
  client.Send("0\r\n\r\n");
  EXPECT_TRUE(client.Read().body == body);
}

TEST(HttpServer, TakesChunkedBodies) {
  TestServer server({}, Routes());
  RawClient client(server.port());
  const std::string request = server.Request("POST /echo", "Transfer-Encoding: Chunked\r\n") +
                              "3;a=\"b\"\r\n[1,\r\n0A\r\n2,3,4,5,6]\r\n0\r\nTrailer: x\r\n\r\n";
  client.Send(request);
  EXPECT_EQ(Json::parse(client.Read().body)["body"], "[1,2,3,4,5,6]");
  for (const char byte : request) client.Send({&byte, 1});
  EXPECT_EQ(Json::parse(client.Read().body)["body"], "[1,2,3,4,5,6]");
}

TEST(HttpServer, GoesOnWhereAClientExpectsIt) {
  TestServer server({.body_limit = 10}, Routes());
  RawClient client(server.port());
  client.Send(server.Request("POST /echo", "Content-Length: 2\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(client.Read().status, 100);
  client.Send("{}");
  EXPECT_EQ(client.Read().status, 200);
  client.Send(server.Request("POST /echo", "Content-Length: 11\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(client.Read().status, 413);
  EXPECT_TRUE(client.IsAtEnd());
}

TEST(HttpServer, CannotListenWhereItMayNot) {
  TestServer server({}, Routes());
  const auto twice = HttpServer::Listen({.port = server.port()}, {});
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("port " + std::to_string(server.port())), std::string::npos);
  EXPECT_FALSE(HttpServer::Listen({.address = "no.such.host.invalid"}, {}));
  EXPECT_FALSE(HttpServer::Listen({.address = "203.0.113.7"}, {}));
}

}  // namespace
}  // namespace fulmen
