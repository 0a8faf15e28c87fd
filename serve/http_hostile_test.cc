// Clients that are broken, slow, greedy or evil.
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "serve/testing/http_client.h"

namespace fulmen {
namespace {

std::vector<Route> CountedRoutes(std::atomic<int>* calls = nullptr) {
  const auto answer = [calls](const HttpRequest& request, const PathValues&) {
    if (calls != nullptr) ++*calls;
    return Json{{"size", request.body.size()}};
  };
  return {JsonRoute("GET", "/", answer), JsonRoute("POST", "/", answer)};
}

TEST(HttpHostile, WhatCanBeReadInTwoWaysIsRefused) {
  std::atomic<int> calls = 0;
  TestServer server({}, CountedRoutes(&calls));
  const std::string host = "Host: " + server.host() + "\r\n";
  const std::string post = "POST / HTTP/1.1\r\n" + host;
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n";
  const std::string smuggled = "GET / HTTP/1.1\r\n" + host + "\r\n";
  const std::vector<std::string> requests = {
      post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
      post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
      post + "Content-Length: 2, 2\r\n\r\n{}",
      post + "Content-Length: +2\r\n\r\n{}",
      post + "Content-Length: -2\r\n\r\n{}",
      post + "Content-Length: 0x2\r\n\r\n{}",
      post + "Content-Length: 2 3\r\n\r\n{}",
      post + "Content-Length:\r\n\r\n{}",
      post + "Content-Length: 18446744073709551618\r\n\r\n{}",
      chunked + "Content-Length: 2\r\n\r\n{}",
      post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      chunked + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      post + "Transfer-Encoding: identity\r\n\r\n" + smuggled,
      post + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
      post + "Transfer-Encoding: \"chunked\"\r\n\r\n" + smuggled,
      post + "Transfer-Encoding:\r\n\r\n" + smuggled,
      post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + smuggled,
      post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      post + "Content-Length : 2\r\n\r\n{}",
      post + "X: a\r\n b\r\n\r\n",
      post + "X:\r\n\tb\r\n\r\n",
      post + "X: a\r\n \r\n\r\n",
      post + " X: a\r\n\r\n",
      post + ": a\r\n\r\n",
      post + "X\r\n\r\n",
      post + "X: a\nContent-Length: 2\r\n\r\n{}",
      post + "X: a\rContent-Length: 2\r\n\r\n{}",
      post + std::string("X: a\0b\r\n\r\n", 10),
      "POST / HTTP/1.1\n" + host + "\r\n",
      "POST / HTTP/1.1\nHost: localhost\n\n",
      "POST /  HTTP/1.1\r\n" + host + "\r\n",
      "POST  / HTTP/1.1\r\n" + host + "\r\n",
      " POST / HTTP/1.1\r\n" + host + "\r\n",
      "POST / HTTP/1.1 \r\n" + host + "\r\n",
      "POST /\r\n" + host + "\r\n",
      "POST / HTTP/2.0\r\n" + host + "\r\n",
      "POST / http/1.1\r\n" + host + "\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      chunked + "\r\n-1\r\n\r\n",
      chunked + "\r\nzz\r\n\r\n",
      chunked + "\r\n0x2\r\n{}\r\n0\r\n\r\n",
      chunked + "\r\n 2\r\n{}\r\n0\r\n\r\n",
      chunked + "\r\n2\n{}\r\n0\r\n\r\n",
      chunked + "\r\n2;a=\"\n\"\r\n{}\r\n0\r\n\r\n",
      chunked + "\r\n2;=\r\n{}\r\n0\r\n\r\n",
      chunked + "\r\n2\r\n{}}\r\n0\r\n\r\n",
      chunked + "\r\n2\r\n{}0\r\n\r\n\r\n",
      chunked + "\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
      chunked + "\r\n0\r\nContent-Length: 2\r\n\r\n",
      chunked + "\r\n0\r\nX : y\r\n\r\n",
      "GET /%00 HTTP/1.1\r\n" + host + "\r\n",
      "GET /%zz HTTP/1.1\r\n" + host + "\r\n",
      "GET /?% HTTP/1.1\r\n" + host + "\r\n",
      "GET /%ff HTTP/1.1\r\n" + host + "\r\n",
      "GET /\xff HTTP/1.1\r\n" + host + "\r\n",
      "GET /a\tb HTTP/1.1\r\n" + host + "\r\n",
      "GET x HTTP/1.1\r\n" + host + "\r\n",
      "GET file:///x HTTP/1.1\r\n" + host + "\r\n",
      "CONNECT localhost:80 HTTP/1.1\r\n" + host + "\r\n",
      "\x16\x03\x01\x02\x01\x01",  // TLS
  };
  for (const std::string& request : requests) {
    RawClient client(server.port());
    client.Send(request);
    const RawAnswer answer = client.Read();
    EXPECT_EQ(answer.status, 400) << request;
    EXPECT_EQ(answer.Header("connection"), "close") << request;
    EXPECT_TRUE(client.IsAtEnd()) << request;
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(server.StatusOf(smuggled), 200);
}

TEST(HttpHostile, HeadersHaveLimits) {
  TestServer server({.header_limit = 4096, .most_headers = 20}, CountedRoutes());
  const auto with = [&](size_t size) {
    return server.StatusOf(server.Request("GET /", "X: " + std::string(size, 'x') + "\r\n"));
  };
  EXPECT_EQ(with(3900), 200);
  EXPECT_EQ(with(4100), 400);
  EXPECT_EQ(with(1 << 20), 400);
  EXPECT_EQ(server.StatusOf("GET /" + std::string(5000, 'x')), 400);
  EXPECT_EQ(server.StatusOf(std::string(1 << 20, 'x')), 400);
  std::string many;
  for (int i = 0; i < 19; ++i) many += "X: y\r\n";
  EXPECT_EQ(server.StatusOf(server.Request("GET /", many)), 200);
  EXPECT_EQ(server.StatusOf(server.Request("GET /", many + "X: y\r\n")), 400);
  // Lines that arrive one by one add up.
  RawClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nHost: " + server.host() + "\r\n");
  for (int i = 0; i < 18; ++i) client.Send("X: " + std::string(300, 'x') + "\r\n");
  client.Send("\r\n");
  EXPECT_EQ(client.Read().status, 400);
  // And so do lines of chunks, and trailers.
  const std::string chunked = server.Request("POST /", "Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(server.StatusOf(chunked + "1;" + std::string(1 << 20, 'x')), 400);
  EXPECT_EQ(server.StatusOf(chunked + std::string(1 << 20, '0')), 400);
  std::string trailers;
  for (int i = 0; i < 20; ++i) trailers += "X: " + std::string(300, 'x') + "\r\n";
  EXPECT_EQ(server.StatusOf(chunked + "0\r\n" + trailers + "\r\n"), 400);
}

TEST(HttpHostile, BodiesHaveALimit) {
  TestServer server({.body_limit = 100}, CountedRoutes());
  const auto with_length = [&](size_t size) {
    return server.Ask("POST /", "", std::string(size, 'x')).status;
  };
  EXPECT_EQ(with_length(100), 200);
  EXPECT_EQ(with_length(101), 413);
  // The answer is not lost though the client goes on sending.
  EXPECT_EQ(with_length(8 << 20), 413);
  const std::string chunked = server.Request("POST /", "Transfer-Encoding: chunked\r\n");
  const std::string half = "32\r\n" + std::string(50, 'x') + "\r\n";
  EXPECT_EQ(server.StatusOf(chunked + half + half + "0\r\n\r\n"), 200);
  EXPECT_EQ(server.StatusOf(chunked + half + half + "1\r\nx\r\n0\r\n\r\n"), 413);
  EXPECT_EQ(server.StatusOf(chunked + "ffffffffffffffff\r\n"), 413);
  // Nothing is read before it is refused.
  EXPECT_EQ(server.StatusOf(server.Request("POST /", "Content-Length: 18446744073709551615\r\n")),
            413);
}

TEST(HttpHostile, SlowRequestsRunOutOfTime) {
  TestServer server({.header_seconds = 0.1, .body_seconds = 0.1, .idle_seconds = 0.6},
                    CountedRoutes());
  RawClient silent(server.port());
  RawClient header(server.port());
  RawClient body(server.port());
  RawClient chunk(server.port());
  RawClient kept(server.port());
  header.Send("GET / HTTP/1.1\r\nX: ");
  body.Send(server.Request("POST /", "Content-Length: 20\r\n"));
  chunk.Send(server.Request("POST /", "Transfer-Encoding: chunked\r\n") + "14\r\n");
  kept.Send(server.Request("GET /"));
  EXPECT_EQ(kept.Read().status, 200);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) {
    header.Send("x");
    body.Send("x");
    chunk.Send("x");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (RawClient* client : {&header, &body, &chunk}) {
    const RawAnswer answer = client->Read();
    EXPECT_EQ(answer.status, 408);
    EXPECT_EQ(answer.Header("connection"), "close");
    EXPECT_EQ(answer.Header("retry-after"), "1");
    EXPECT_TRUE(client->IsAtEnd());
  }
  EXPECT_TRUE(silent.IsAtEnd());
  EXPECT_TRUE(kept.IsAtEnd());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(HttpHostile, ThereMayBeTooManyConnections) {
  TestServer server({.most_connections = 3}, CountedRoutes());
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(server.port());
    clients.back().Send(server.Request("GET /"));
    EXPECT_EQ(clients.back().Read().status, 200);
  }
  const RawAnswer refused = server.Ask("GET /v1/messages");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("retry-after"), "1");
  EXPECT_EQ(refused.Header("connection"), "close");
  EXPECT_EQ(Json::parse(refused.body)["type"], "error");
  // A flood of them is cut short.
  std::vector<RawClient> flood;
  for (int i = 0; i < 100; ++i) flood.emplace_back(server.port());
  EXPECT_TRUE(flood.back().IsAtEnd());
  clients[1].Send(server.Request("GET /"));
  EXPECT_EQ(clients[1].Read().status, 200);
  flood.clear();
  clients.clear();
  ASSERT_TRUE(Eventually([&] { return server->connections() == 0; }));
  EXPECT_EQ(server.Ask("GET /").status, 200);
}

TEST(HttpHostile, RandomDamageHarmsNobodyElse) {
  TestServer server({.header_seconds = 0.2, .body_seconds = 0.2}, CountedRoutes());
  RawClient witness(server.port());
  std::mt19937 random(11);
  const std::string good = server.Request("POST /", "Transfer-Encoding: chunked\r\n") +
                           "3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n" + server.Request("GET /");
  for (int i = 0; i < 400; ++i) {
    std::string bytes = good;
    for (size_t changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 4);
          break;
        default:
          bytes.insert(at, 1, "\r\n:; 0a"[random() % 7]);
      }
    }
    RawClient client(server.port());
    const size_t cut = random() % bytes.size();
    client.Send(bytes.substr(0, cut));
    client.Send(bytes.substr(cut));
    if (i % 2 == 0) client.HalfClose();
    if (i % 5 == 0) client.Reset();
    if (i % 40 == 0) {
      witness.Send(server.Request("GET /"));
      ASSERT_EQ(witness.Read().status, 200);
    }
  }
  witness.Close();
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
  EXPECT_TRUE(server.log().empty());
}

}  // namespace
}  // namespace fulmen
