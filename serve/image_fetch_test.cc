#include "serve/image_fetch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "serve/testing/http_client.h"
#include "serve/testing/tls_files.h"

namespace fulmen {
namespace {

using boost::asio::awaitable;
using namespace std::chrono_literals;

Route Answer(std::string path, HttpResponse response) {
  return {.method = "GET",
          .path = std::move(path),
          .handler = [response = std::move(response)](Exchange& exchange,
                                                      const PathValues&) -> awaitable<void> {
            HttpResponse copy = response;
            co_await exchange.Respond(std::move(copy));
          }};
}

Route Redirect(std::string path, std::string location, int status = 302) {
  return Answer(std::move(path), {.status = status,
                                  .content_type = "text/html",
                                  .headers = {{"Location", std::move(location)}},
                                  .body = "<a>elsewhere</a>"});
}

// `pieces` of a thousand bytes, in chunks and so without a length, `pause` apart.
Route Stream(std::string path, int pieces, std::chrono::milliseconds pause) {
  return {.method = "GET",
          .path = std::move(path),
          .handler = [=](Exchange& exchange, const PathValues&) -> awaitable<void> {
            HttpResponse head{.content_type = "image/png"};
            co_await exchange.BeginStream(std::move(head));
            boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
            for (int i = 0; i < pieces; ++i) {
              timer.expires_after(pause);
              co_await timer.async_wait(boost::asio::use_awaitable);
              if (!co_await exchange.Write(std::string(1000, 'x'))) co_return;
            }
            co_await exchange.EndStream();
          }};
}

std::vector<Route> ImageRoutes() {
  std::vector<Route> routes = {
      Answer("/image.png", {.content_type = "image/png", .body = "pixels"}),
      Answer("/empty", {.content_type = "image/png"}),
      Answer("/bytes", {.content_type = "Application/Octet-Stream; x=y", .body = "pixels"}),
      Answer("/untyped", {.content_type = "", .body = "pixels"}),
      Answer("/page", {.content_type = "text/html; charset=utf-8", .body = "words"}),
      Answer("/odd", {.content_type = "it's\xff" + std::string(100, 'a'), .body = "words"}),
      Answer("/large", {.content_type = "image/png", .body = std::string(5000, 'x')}),
      Answer("/broken", {.status = 500, .content_type = "image/png", .body = "pixels"}),
      Answer("/partial", {.status = 206, .content_type = "image/png", .body = "pixels"}),
      Answer("/nowhere", {.status = 302, .content_type = "image/png", .body = "pixels"}),
      Redirect("/empty-location", ""),
      Redirect("/file", "file:///etc/passwd"),
      Redirect("/gopher", "gopher://images.example:70/_x"),
      Redirect("/secret", "http://me:secret@images.example/"),
      Redirect("/metadata", "http://169.254.169.254/latest/meta-data"),
      Redirect("/mapped", "http://[::ffff:127.0.0.1]/"),
      Redirect("/decimal", "http://2130706434/"),
      Redirect("/elsewhere", "http://elsewhere.example/image.png"),
      Redirect("/loop", "loop"),
      Stream("/stream", 5, 0ms),
      Stream("/slow", 100, 50ms)};
  for (const int status : {301, 302, 303, 307, 308}) {
    routes.push_back(Redirect("/redirect/" + std::to_string(status), "../image.png", status));
  }
  for (int i = 0; i < 4; ++i) {
    routes.push_back(
        Redirect("/step/" + std::to_string(i), i == 0 ? "/image.png" : std::to_string(i - 1)));
  }
  HttpResponse flood = {.content_type = "image/png"};
  for (int i = 0; i < 100; ++i) flood.headers.emplace_back("X-Flood", std::string(1000, 'x'));
  routes.push_back(Answer("/flood", std::move(flood)));
  return routes;
}

bool Is127001(const sockaddr& address) {
  return address.sa_family == AF_INET &&
         reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

// A host of images, in a world where 127.0.0.1 is public and is the address of images.example.
class ImageFetching : public ::testing::Test {
 protected:
  std::string Url(const std::string& path, const std::string& host = "images.example") const {
    return fmt::format("http://{}:{}{}", host, server_.port(), path);
  }
  Result<std::string> FetchUrl(const std::string& url) const {
    return FetchImage(url, rules_, network_);
  }
  Result<std::string> Fetch(const std::string& path) const { return FetchUrl(Url(path)); }

  // That `result` is an error of this code, with these words in it.
  static void ExpectError(const Result<std::string>& result, ErrorCode code,
                          const std::string& words) {
    ASSERT_FALSE(result) << words;
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_NE(result.error().message.find(words), std::string::npos)
        << words << " is not in: " << result.error().message;
  }
  static void ExpectInvalid(const Result<std::string>& result, const std::string& words) {
    ExpectError(result, ErrorCode::kInvalidArgument, words);
  }
  static void ExpectUnavailable(const Result<std::string>& result, const std::string& words) {
    ExpectError(result, ErrorCode::kUnavailable, words);
  }

  TestServer server_{{.allowed_hosts = {"*"}}, ImageRoutes()};
  const std::string port_ = std::to_string(server_.port());
  ImageFetchRules rules_ = {.hosts = {"images.example:" + port_, "*"}};
  ImageNetwork network_ = {
      .may_connect =
          [](const sockaddr& address) { return Is127001(address) || IsPublicAddress(address); },
      .resolve = {"images.example:" + port_ + ":127.0.0.1"}};
};

TEST_F(ImageFetching, BringsImages) {
  EXPECT_EQ(*Fetch("/image.png"), "pixels");
  EXPECT_EQ(*Fetch("/bytes"), "pixels");
  EXPECT_EQ(*Fetch("/untyped"), "pixels");
  EXPECT_EQ(*Fetch("/empty"), "");
  EXPECT_EQ(Fetch("/large")->size(), 5000u);
  EXPECT_EQ(Fetch("/stream")->size(), 5000u);
}

TEST_F(ImageFetching, HostsMustBeAllowed) {
  rules_.hosts = {"images.example", "*.example:1"};
  ExpectInvalid(Fetch("/image.png"), "found 'images.example' and port " + port_);
  rules_.hosts = {"*.example:" + port_};
  EXPECT_EQ(*Fetch("/image.png"), "pixels");
  rules_.hosts = {};
  ExpectInvalid(Fetch("/image.png"), "this server does not fetch");
}

// A socket that nobody may connect to.
class Trap {
 public:
  Trap() : socket_(::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    const int no = 0;
    ::setsockopt(socket_, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket_, 16), 0);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin6_port);
  }
  ~Trap() { ::close(socket_); }
  Trap(const Trap&) = delete;
  Trap& operator=(const Trap&) = delete;

  std::string port() const { return std::to_string(port_); }
  bool IsUntouched() const { return ::accept(socket_, nullptr, nullptr) < 0 && errno == EAGAIN; }

 private:
  int socket_;
  uint16_t port_ = 0;
};

TEST(ImageFetch, AddressesThatAreNotPublicAreRefused) {
  const Trap trap;
  const ImageFetchRules rules = {.hosts = {"*:" + trap.port()}};
  // What names resolve to, whenever they do: nothing but the address that is connected to counts.
  const ImageNetwork network = {.resolve = {"rebound.example:" + trap.port() + ":127.0.0.1",
                                            "both.example:" + trap.port() + ":127.0.0.1,[::1]"}};
  const std::vector<std::string> hosts = {"127.0.0.1",          "2130706433",      "0x7f.1",
                                          "017700000001",       "127.0.0.1.",      "127.1",
                                          "１２７.０.０.１",    "0.0.0.0",         "10.0.0.1",
                                          "172.16.0.1",         "192.168.0.1",     "100.64.0.1",
                                          "169.254.169.254",    "[::1]",           "[::]",
                                          "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
                                          "[64:ff9b::7f00:1]",  "[fe80::1]",       "[fe80::1%25lo]",
                                          "[fd00::1]",          "[2002:7f00:1::]", "localhost",
                                          "LOCALHOST.",         "rebound.example", "both.example"};
  for (const std::string& host : hosts) {
    const auto image = FetchImage("http://" + host + ":" + trap.port() + "/a", rules, network);
    ASSERT_FALSE(image) << host;
    EXPECT_EQ(image.error().code, ErrorCode::kInvalidArgument) << host;
    EXPECT_TRUE(image.error().message.starts_with(
        "expected the URL of an image on a host with a public address, found '"))
        << image.error().message;
    EXPECT_TRUE(trap.IsUntouched()) << host;
  }
}

TEST(ImageFetch, NamesWithoutAnAddressLookLikePrivateOnes) {
  const ImageFetchRules rules = {.hosts = {"*"}};
  const auto image = FetchImage("http://nobody.invalid/a", rules);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(image.error().message,
            "expected the URL of an image on a host with a public address, found "
            "'nobody.invalid'");
}

TEST_F(ImageFetching, AnOwnerMayAllowPrivateAddresses) {
  rules_ = {.hosts = {"127.0.0.1:" + port_}, .private_addresses = true};
  EXPECT_EQ(*FetchImage(Url("/image.png", "127.0.0.1"), rules_), "pixels");
  EXPECT_EQ(*FetchImage(Url("/image.png", "0x7f.1"), rules_), "pixels");
  rules_.private_addresses = false;
  ExpectInvalid(FetchImage(Url("/image.png", "127.0.0.1"), rules_), "a public address");
}

TEST_F(ImageFetching, RedirectsAreFollowed) {
  for (const char* status : {"301", "302", "303", "307", "308"}) {
    const auto image = Fetch(std::string("/redirect/") + status);
    EXPECT_EQ(image.value_or(""), "pixels") << status;
  }
  ExpectInvalid(Fetch("/nowhere"), "found status 302");
  ExpectInvalid(Fetch("/empty-location"), "from 'images.example'");
  EXPECT_EQ(*Fetch("/step/2"), "pixels");
  ExpectUnavailable(Fetch("/step/3"), "at most 3 redirects, found one more at 'images.example'");
  ExpectUnavailable(Fetch("/loop"), "at most 3 redirects");
  rules_.most_redirects = 0;
  ExpectUnavailable(Fetch("/step/0"), "at most 0 redirects");
}

TEST_F(ImageFetching, RedirectsAreCheckedLikeTheFirst) {
  const std::string after = "after a redirect from 'images.example': expected ";
  ExpectInvalid(Fetch("/file"), after + "an image's URL with http or https");
  ExpectInvalid(Fetch("/gopher"), after + "an image's URL with http or https");
  ExpectInvalid(Fetch("/secret"), after + "the URL of an image without a user");
  EXPECT_EQ(Fetch("/secret").error().message.find("me:"), std::string::npos);
  const std::string not_public = after + "the URL of an image on a host with a public address";
  ExpectInvalid(Fetch("/metadata"), not_public);
  ExpectInvalid(Fetch("/mapped"), not_public);
  ExpectInvalid(Fetch("/decimal"), not_public + ", found '127.0.0.2'");
  // A name that is allowed, but whose address is not.
  network_.resolve.emplace_back("elsewhere.example:80:127.0.0.2");
  ExpectInvalid(Fetch("/elsewhere"), not_public);
  rules_.hosts = {"images.example:" + port_};
  ExpectInvalid(Fetch("/elsewhere"), "may fetch from, found 'elsewhere.example' and port 80");
}

TEST_F(ImageFetching, SizeIsLimited) {
  for (const char* path : {"/large", "/stream"}) {
    rules_.most_bytes = 5000;
    EXPECT_EQ(Fetch(path)->size(), 5000u);
    rules_.most_bytes = 4999;
    ExpectInvalid(Fetch(path), "of at most 4999 bytes from 'images.example', found more");
  }
  ExpectUnavailable(Fetch("/flood"), "found more than 65536 bytes of headers");
}

TEST_F(ImageFetching, TimeIsLimited) {
  rules_.seconds = 0.3;
  const auto begin = std::chrono::steady_clock::now();
  ExpectUnavailable(Fetch("/slow"), "from 'images.example' within 0.3 s, found none");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST_F(ImageFetching, OtherAnswersAreRefused) {
  ExpectInvalid(Fetch("/page"), "an image from 'images.example', found the type 'text/html'");
  ExpectInvalid(Fetch("/odd"), "found the type 'it?s?" + std::string(55, 'a') + "'");
  ExpectInvalid(Fetch("/missing"), "an image from 'images.example', found status 404");
  ExpectInvalid(Fetch("/partial"), "found status 206");
  ExpectUnavailable(Fetch("/broken"), "found status 500");
  server_.Stop(0);
  ExpectUnavailable(Fetch("/image.png"), "an image from 'images.example', found an error: ");
}

TEST_F(ImageFetching, NoProxyOfTheEnvironment) {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  EXPECT_EQ(Fetch("/image.png").value_or(""), "pixels");
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
}

TEST_F(ImageFetching, ManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this] {
      for (int j = 0; j < 10; ++j) EXPECT_EQ(Fetch("/step/1").value_or(""), "pixels");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TlsFiles, ImagesOfHostsThatNobodyVouchesForAreRefused) {
  TestServer server({.tls_certificate = certificate_, .tls_key = key_, .allowed_hosts = {"*"}},
                    ImageRoutes());
  const ImageFetchRules rules = {.hosts = {fmt::format("localhost:{}", server.port())},
                                 .private_addresses = true};
  const auto image =
      FetchImage(fmt::format("https://localhost:{}/image.png", server.port()), rules);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(image.error().message.find("certificate"), std::string::npos) << image.error().message;
  EXPECT_TRUE(server.records().empty());
}

}  // namespace
}  // namespace fulmen
