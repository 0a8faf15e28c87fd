// Streams, clients that leave, clients that do not read, and the server's own end.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <stdexcept>

#include "serve/sse.h"
#include "serve/testing/http_client.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;

awaitable<void> Sleep(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

// What the routes have seen.
struct Seen {
  std::atomic<int> waiting = 0;  // handlers that are at work
  std::atomic<int> left = 0;     // calls of OnLeave's function
  std::atomic<int> refused = 0;  // pieces that were not taken
  std::atomic<int64_t> pieces = 0;
  std::atomic<bool> gate = false;  // what /slow waits for
  std::thread::id thread;  // of the last leave
};

// Counts as waiting while it lives, however the handler ends.
struct Waiting {
  explicit Waiting(Seen& seen) : seen_(seen) { ++seen_.waiting; }
  ~Waiting() { --seen_.waiting; }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Seen& seen_;
};

// Works until the client leaves, as a generation would.
awaitable<void> WaitForLeave(Exchange& exchange, Seen& seen) {
  const Waiting waiting(seen);
  asio::steady_timer forever(co_await asio::this_coro::executor, 1h);
  exchange.OnLeave([&] {
    ++seen.left;
    seen.thread = std::this_thread::get_id();
    forever.cancel();
  });
  constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
  co_await forever.async_wait(kAwait);
}

RouteHandler Stream(Seen& seen) {
  return [&seen](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse head{.content_type = "text/event-stream"};
    const bool is_there = co_await exchange.BeginStream(std::move(head));
    const int count = std::atoi(exchange.request().Query("count").c_str());
    for (int i = 0; is_there && i < count; ++i) {
      std::string piece;
      AppendSse(piece, "", i);
      if (!co_await exchange.Write(piece)) ++seen.refused;
      ++seen.pieces;
    }
    if (exchange.request().Query("stay") == "1") co_await WaitForLeave(exchange, seen);
    co_await exchange.EndStream();
  };
}

// Pieces of a megabyte, as long as somebody takes them.
RouteHandler Flood(Seen& seen) {
  return [&seen](Exchange& exchange, const PathValues&) -> awaitable<void> {
    const Waiting waiting(seen);
    HttpResponse head;
    const std::string piece(size_t{1} << 20, 'x');
    bool is_there = co_await exchange.BeginStream(std::move(head));
    while (is_there) {
      is_there = co_await exchange.Write(piece);
      if (is_there) ++seen.pieces;
    }
  };
}

std::vector<Route> Routes(Seen& seen) {
  const auto wait = [&seen](Exchange& exchange, const PathValues&) -> awaitable<void> {
    co_await WaitForLeave(exchange, seen);
  };
  const auto interim = [](Exchange& exchange, const PathValues&) -> awaitable<void> {
    co_await exchange.Interim(102);
    co_await exchange.Interim(102);
    HttpResponse response = HttpResponse::OfJson({{"done", true}});
    co_await exchange.Respond(std::move(response));
  };
  const auto slow = [&seen](Exchange& exchange, const PathValues&) -> awaitable<void> {
    const Waiting waiting(seen);
    while (!seen.gate) co_await Sleep(2ms);
    HttpResponse response = HttpResponse::OfJson({{"slow", true}});
    co_await exchange.Respond(std::move(response));
  };
  return {
      {.method = "GET", .path = "/stream", .handler = Stream(seen)},
      {.method = "GET", .path = "/flood", .handler = Flood(seen)},
      {.method = "GET", .path = "/wait", .handler = wait},
      {.method = "GET", .path = "/interim", .handler = interim},
      {.method = "GET", .path = "/slow", .handler = slow},
      JsonRoute("GET", "/hello", [](const HttpRequest&, const PathValues&) { return Json(1); })};
}

TEST(HttpStream, EveryPieceIsAChunk) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient client(server.port());
  client.Send(server.Request("GET /stream?count=3") + server.Request("GET /hello"));
  const RawAnswer head = client.ReadHead();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("content-type"), "text/event-stream");
  EXPECT_EQ(head.Header("cache-control"), "no-cache");
  EXPECT_EQ(head.Header("x-accel-buffering"), "no");
  EXPECT_EQ(head.Header("transfer-encoding"), "chunked");
  EXPECT_EQ(head.Header("content-length"), "");
  EXPECT_EQ(head.Header("request-id").substr(0, 4), "req_");
  for (const char* expected : {"data: 0\n\n", "data: 1\n\n", "data: 2\n\n", ""}) {
    std::string chunk;
    ASSERT_TRUE(client.ReadChunk(chunk));
    EXPECT_EQ(chunk, expected);
  }
  EXPECT_EQ(client.Read().body, "1");
  ASSERT_TRUE(Eventually([&] { return server.records().size() == 2; }));
  EXPECT_TRUE(server.records()[0].whole);
}

TEST(HttpStream, OldClientsReadToTheEndOfTheConnection) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient client(server.port());
  client.Send("GET /stream?count=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const RawAnswer answer = client.Read();
  EXPECT_EQ(answer.Header("transfer-encoding"), "");
  EXPECT_EQ(answer.Header("connection"), "close");
  EXPECT_EQ(answer.body, "data: 0\n\ndata: 1\n\n");
}

TEST(HttpStream, HeadHasNoPieces) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient client(server.port());
  client.Send(server.Request("HEAD /stream?count=2") + server.Request("GET /hello"));
  EXPECT_EQ(client.Read(false).Header("transfer-encoding"), "chunked");
  EXPECT_EQ(client.Read().body, "1");
  EXPECT_EQ(seen.pieces, 0);
}

TEST(HttpStream, InterimAnswersComeBeforeTheHead) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient client(server.port());
  client.Send(server.Request("GET /interim"));
  EXPECT_EQ(client.Read().head, "http/1.1 102 processing\r\n\r\n");
  EXPECT_EQ(client.Read().status, 102);
  EXPECT_EQ(client.Read().body, R"({"done":true})");
  RawClient old(server.port());
  old.Send("GET /interim HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
}

TEST(HttpStream, LeavingIsNoticedInEveryState) {
  Seen seen;
  TestServer server({}, Routes(seen));
  std::atomic<std::thread::id> io_thread;
  server->Post([&] { io_thread = std::this_thread::get_id(); });
  const std::vector<std::function<void(RawClient&)>> ways = {
      [](RawClient& client) { client.Close(); }, [](RawClient& client) { client.Reset(); },
      [](RawClient& client) { client.HalfClose(); },
      [&](RawClient& client) {  // with another request on its way
        client.Send(server.Request("GET /hello"));
        client.HalfClose();
      }};
  int left = 0;
  for (const char* target : {"/wait", "/stream?stay=1", "/stream?count=2&stay=1"}) {
    for (const auto& leave : ways) {
      RawClient client(server.port());
      client.Send(server.Request(std::string("GET ") + target));
      ASSERT_TRUE(Eventually([&] { return seen.waiting == 1; }));
      EXPECT_EQ(seen.left, left);
      leave(client);
      ++left;
      ASSERT_TRUE(Eventually([&] { return seen.left == left && seen.waiting == 0; })) << target;
      EXPECT_EQ(seen.thread, io_thread.load());
    }
  }
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
  EXPECT_EQ(seen.left, left);
  const std::vector<HttpRecord> records = server.records();
  EXPECT_EQ(std::count_if(records.begin(), records.end(),
                          [](const HttpRecord& record) { return record.route != "/hello"; }),
            left);
  EXPECT_EQ(records[0].status, 499);
  EXPECT_EQ(records[4].status, 200);
  EXPECT_FALSE(records[4].whole);
  EXPECT_TRUE(server.log().empty());
}

TEST(HttpStream, AStreamThatLacksAPieceDoesNotLookWhole) {
  Seen seen;
  const auto late = [&seen](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse head;
    co_await exchange.BeginStream(std::move(head));
    co_await WaitForLeave(exchange, seen);
    if (!co_await exchange.Write("late")) ++seen.refused;
    co_await exchange.EndStream();
  };
  TestServer server({}, {{.method = "GET", .path = "/late", .handler = late}});
  RawClient client(server.port());
  client.Send(server.Request("GET /late"));
  ASSERT_TRUE(Eventually([&] { return seen.waiting == 1; }));
  client.HalfClose();
  const RawAnswer answer = client.Read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.whole);
  EXPECT_EQ(seen.refused, 1);
}

TEST(HttpStream, BytesOfTheNextRequestAreKeptWhileAHandlerWorks) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient client(server.port());
  client.Send(server.Request("GET /slow"));
  ASSERT_TRUE(Eventually([&] { return seen.waiting == 1; }));
  const std::string next = server.Request("GET /hello");
  client.Send(next.substr(0, 10));
  std::this_thread::sleep_for(10ms);
  seen.gate = true;
  EXPECT_EQ(client.Read().body, R"({"slow":true})");
  client.Send(next.substr(10));
  EXPECT_EQ(client.Read().body, "1");
}

TEST(HttpStream, AClientThatDoesNotReadHoldsLittleAndIsDropped) {
  Seen seen;
  TestServer server({.write_seconds = 0.3}, Routes(seen));
  RawClient client(server.port(), 4096);
  client.Send(server.Request("GET /flood"));
  ASSERT_TRUE(Eventually([&] { return seen.waiting == 1; }));
  std::this_thread::sleep_for(100ms);
  const int64_t taken = seen.pieces;
  EXPECT_LT(taken, 16);  // what fits into the sockets
  ASSERT_TRUE(Eventually([&] { return seen.waiting == 0; }));
  EXPECT_EQ(seen.pieces, taken);
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
}

TEST(HttpStream, AClientThatReadsSlowlyIsServed) {
  Seen seen;
  TestServer server({.write_seconds = 0.5}, Routes(seen));
  RawClient client(server.port(), 65536);
  client.Send(server.Request("GET /flood"));
  EXPECT_EQ(client.ReadHead().status, 200);
  std::string chunk;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(client.ReadChunk(chunk));
    EXPECT_EQ(chunk.size(), size_t{1} << 20);
    std::this_thread::sleep_for(60ms);
  }
}

TEST(HttpStream, AThousandStreamsOnOneThread) {
  constexpr int kStreams = 1000;
  std::set<Exchange*> open;  // on the I/O thread
  std::atomic<size_t> opened = 0;
  const auto comments = [&](Exchange& exchange, const PathValues&) -> awaitable<void> {
    HttpResponse head{.content_type = "text/event-stream"};
    bool is_there = co_await exchange.BeginStream(std::move(head));
    bool has_left = false;
    exchange.OnLeave([&] { has_left = true; });
    open.insert(&exchange);
    opened = open.size();
    while (is_there && !has_left) {
      co_await Sleep(100ms);
      if (!has_left) is_there = co_await exchange.Write(kSseComment);
    }
    open.erase(&exchange);
    opened = open.size();
  };
  const auto server =
      HttpServer::Listen({}, {{.method = "GET", .path = "/comments", .handler = comments}}).value();
  const uint16_t port = server->port();
  const size_t before = mallinfo2().uordblks;
  std::atomic<size_t> bytes = 0;
  const auto read_comments = [&](RawClient& client) {
    if (client.ReadHead().status != 200) return false;
    std::string comment;
    for (int i = 0; i < 3; ++i) {
      if (!client.ReadChunk(comment) || comment != kSseComment) return false;
    }
    return true;
  };
  std::thread visitors([&] {
    std::vector<RawClient> clients;
    clients.reserve(kStreams);
    for (int i = 0; i < kStreams; ++i) {
      clients.emplace_back(port);
      clients.back().Send(
          fmt::format("GET /comments HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", port));
    }
    for (RawClient& client : clients) EXPECT_TRUE(read_comments(client));
    EXPECT_EQ(opened, size_t{kStreams});
    // The server's is the main thread, and so the heap that is counted here.
    server->Post([&] { bytes = (mallinfo2().uordblks - before) / kStreams; });
    for (RawClient& client : clients) client.Close();
    EXPECT_TRUE(Eventually([&] { return opened == 0 && server->connections() == 0; }));
    server->Drain(0);
  });
  server->Run();
  visitors.join();
  RecordProperty("bytes_per_stream", std::to_string(bytes));
  EXPECT_LT(bytes, size_t{16} << 10);
}

TEST(HttpStream, DrainingFinishesWhatIsUnderWay) {
  Seen seen;
  TestServer server({}, Routes(seen));
  RawClient idle(server.port());
  RawClient kept(server.port());
  kept.Send(server.Request("GET /hello"));
  EXPECT_EQ(kept.Read().status, 200);
  std::vector<RawClient> busy;
  for (int i = 0; i < 50; ++i) {
    busy.emplace_back(server.port());
    // The second one comes too late.
    busy.back().Send(server.Request("GET /slow") + server.Request("GET /hello"));
  }
  ASSERT_TRUE(Eventually([&] { return seen.waiting == 50; }));
  const auto begin = std::chrono::steady_clock::now();
  std::thread drain([&] { server.Stop(5); });
  EXPECT_TRUE(idle.IsAtEnd());
  EXPECT_TRUE(kept.IsAtEnd());
  seen.gate = true;
  for (RawClient& client : busy) {
    const RawAnswer answer = client.Read();
    EXPECT_EQ(answer.body, R"({"slow":true})");
    EXPECT_EQ(answer.Header("connection"), "close");
    EXPECT_TRUE(client.IsAtEnd());
    client.Close();
  }
  drain.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(seen.waiting, 0);
}

TEST(HttpStream, DrainingCutsOffWhatTakesTooLong) {
  Seen seen;
  std::atomic<bool> destroyed = false;
  std::vector<Route> routes = Routes(seen);
  const auto stubborn = [&](Exchange&, const PathValues&) -> awaitable<void> {
    const std::shared_ptr<void> guard(nullptr, [&](void*) { destroyed = true; });
    const Waiting waiting(seen);
    co_await Sleep(1h);
  };
  routes.push_back({.method = "GET", .path = "/stubborn", .handler = stubborn});
  {
    TestServer server({}, std::move(routes));
    RawClient stream(server.port());
    RawClient hopeless(server.port());
    stream.Send(server.Request("GET /stream?stay=1"));
    hopeless.Send(server.Request("GET /stubborn"));
    ASSERT_TRUE(Eventually([&] { return seen.waiting == 2; }));
    server.Stop(0.05);
    EXPECT_EQ(seen.left, 1);
    EXPECT_EQ(seen.waiting, 1);
    EXPECT_FALSE(stream.Read().whole);
    EXPECT_TRUE(hopeless.IsAtEnd());
  }
  EXPECT_TRUE(destroyed);
  EXPECT_EQ(seen.waiting, 0);
}

TEST(HttpStream, WorkThatThrowsOnTheIoThreadHarmsNobody) {
  Seen seen;
  TestServer server({}, Routes(seen));
  server->Post([] { throw std::runtime_error("posted"); });
  EXPECT_EQ(server.Ask("GET /hello").status, 200);
  ASSERT_EQ(server.log().size(), 1U);
  EXPECT_NE(server.log()[0].find("posted"), std::string::npos);
}

}  // namespace
}  // namespace fulmen
