#include "serve/http_text.h"

#include <gtest/gtest.h>

#include <random>

namespace fulmen {
namespace {

TEST(HttpText, PercentDecoding) {
  EXPECT_EQ(PercentDecode("a%20b%2Fc+d"), "a b/c+d");
  EXPECT_EQ(PercentDecode("a+b%2b", true), "a b+");
  EXPECT_EQ(PercentDecode("%c3%A9"), "é");
  EXPECT_EQ(PercentDecode("é"), "é");
  for (const char* broken : {"%", "a%2", "%zz", "%2g", "%00", "%c3", "%ff", "%ed%a0%80", "\xff"}) {
    EXPECT_FALSE(PercentDecode(broken)) << broken;
  }
}

TEST(HttpText, QueryValues) {
  EXPECT_EQ(QueryValue("a=1&b=%3d+x&b=2&c", "b"), "= x");
  EXPECT_EQ(QueryValue("a=1&&=&c", "c"), "");
  EXPECT_EQ(QueryValue("%61=1", "a"), "1");
  EXPECT_EQ(QueryValue("a=b=c", "a"), "b=c");
  EXPECT_EQ(QueryValue("%=1&a=2", "%"), "");
}

TEST(HttpText, Targets) {
  const auto plain = ParseHttpTarget("/v1/a%2Fb?x=%20");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->path, "/v1/a/b");
  EXPECT_EQ(plain->raw_path, "/v1/a%2Fb");
  EXPECT_EQ(plain->query, "x=%20");
  EXPECT_EQ(plain->authority, "");
  const auto absolute = ParseHttpTarget("HTTP://Host:80?q");
  ASSERT_TRUE(absolute);
  EXPECT_EQ(absolute->authority, "Host:80");
  EXPECT_EQ(absolute->path, "/");
  EXPECT_EQ(absolute->query, "q");
  EXPECT_EQ(ParseHttpTarget("*")->path, "*");
  for (const char* broken :
       {"", "a", "?x", "host:443", "ftp://host/", "http:///a", "http://u@host/", "/a#b", "/%",
        "/?%", "/%00", "/?%00", "/\xff", "**"}) {
    EXPECT_FALSE(ParseHttpTarget(broken)) << broken;
  }
}

TEST(HttpText, Authorities) {
  const auto check = [](std::string_view text, std::string_view host, int port) {
    const auto parsed = ParseAuthority(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port ? int{*parsed->port} : -1, port);
  };
  check("LocalHost", "localhost", -1);
  check("localhost.:80", "localhost", 80);
  check("127.0.0.1:65535", "127.0.0.1", 65535);
  check("[::1]:8", "::1", 8);
  check("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1", -1);
  check("a_b-c:", "a_b-c", -1);
  for (const char* broken : {"", ".", ":80", "a:65536", "a:-1", "a:8x", "a b", "u@a", "a/b", "[::1",
                             "[]", "[::1]x", "::1", "[a%25eth0]", "a:80:80"}) {
    EXPECT_FALSE(ParseAuthority(broken)) << broken;
  }
}

TEST(HttpText, RandomBytesAreParsedOrRefused) {
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "/?&=%2fa+:[]@.#* \xc3\xa9\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string text = i % 2 == 0 ? "/" : "";
    for (size_t size = random() % 12; size > 0; --size) text += kBytes[random() % kBytes.size()];
    if (const auto target = ParseHttpTarget(text)) {
      EXPECT_EQ(PercentDecode(target->raw_path), target->path);
      EXPECT_TRUE(PercentDecode(target->query, true)) << text;
      EXPECT_LE(QueryValue(target->query, "a").size(), text.size());
    }
    if (const auto authority = ParseAuthority(text)) {
      EXPECT_FALSE(authority->host.empty());
    }
  }
}

}  // namespace
}  // namespace fulmen
