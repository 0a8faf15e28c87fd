#include "serve/image_url.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fulmen {
namespace {

TEST(ImageUrl, HostsComeOutInOneForm) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"http://images.example/a.png", "images.example"},
      {"HTTPS://IMAGES.Example", "images.example"},
      {"http://images.example./a", "images.example"},
      {"http://images%2eexample/a", "images.example"},
      {"http://127.0.0.1/", "127.0.0.1"},
      {"http://2130706433/", "127.0.0.1"},
      {"http://2130706433./", "127.0.0.1"},
      {"http://0x7f.1/", "127.0.0.1"},
      {"http://0X7F000001/", "127.0.0.1"},
      {"http://017700000001/", "127.0.0.1"},
      {"http://127.1./", "127.0.0.1"},
      {"http://１２７.０.０.１/", "127.0.0.1"},
      {"http://ⓛocalhost/", "localhost"},
      {"http://images。example/", "images.example"},
      {"http://müller.example/", "xn--mller-kva.example"},
      {"http://M%C3%9CLLER.example/", "xn--mller-kva.example"},
      {"http://[::1]/", "::1"},
      {"http://[::FFFF:127.0.0.1]:80/", "::ffff:127.0.0.1"},
      {"http://[fe80::1%25eth0]/", "fe80::1"},
      {"http:/images.example/", "images.example"},
      {"http:///images.example/", "images.example"},
      {"http://images.example#@other.example/", "images.example"},
      {"http://images.example?@other.example/", "images.example"},
  };
  for (const auto& [text, host] : cases) {
    const auto url = ParseImageUrl(text);
    ASSERT_TRUE(url) << text << ": " << url.error().message;
    EXPECT_EQ(url->host, host) << text;
    EXPECT_EQ(ParseImageUrl(url->text)->text, url->text);
  }
}

TEST(ImageUrl, PathsAndPorts) {
  const auto url = ParseImageUrl("https://Images.example:8443/my photo/ü.png?a=b c&d=%20#top");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->text, "https://images.example:8443/my%20photo/%c3%bc.png?a=b+c&d=%20#top");
  EXPECT_EQ(url->port, 8443);
  EXPECT_FALSE(url->is_default_port);
  for (const auto& [text, port, is_default] :
       {std::tuple("http://a", 80, true), std::tuple("http://a:443", 443, false),
        std::tuple("https://a:/", 443, true), std::tuple("https://a:443", 443, true),
        std::tuple("https://a:80", 80, false)}) {
    EXPECT_EQ(ParseImageUrl(text)->port, port) << text;
    EXPECT_EQ(ParseImageUrl(text)->is_default_port, is_default) << text;
  }
}

TEST(ImageUrl, OthersAreRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"file:///etc/passwd", "the scheme 'file'"},
      {"gopher://images.example:70/_a", "the scheme 'gopher'"},
      {"ftp://images.example/a", "the scheme 'ftp'"},
      {"dict://images.example:11211/stats", "the scheme 'dict'"},
      {"blob://images.example/a", "the scheme 'blob'"},
      {"data:image/png;base64,AAAA", "another form"},
      {"javascript:alert(1)", "another form"},
      {"images.example/a.png", "another form"},
      {"//images.example/a.png", "another form"},
      {"", "another form"},
      {" http://images.example", "another form"},
      {"http://", "another form"},
      {"http://./", "another form"},
      {"http://images.example../", "another form"},
      {"http://images.example:99999/", "another form"},
      {"http://ima ges.example/", "another form"},
      {"http://images.example%00.other.example/", "another form"},
      {"http://images.example%2f.other.example/", "another form"},
      {"http://images.example\r\nX: y/", "another form"},
      {"http://a\xff/", "another form"},
      {"http://%2561/", "another form"},
      {"http://%25252561/", "another form"},
      {"http://a~b/", "another form"},
      {"http://[::1/", "another form"},
      {"http://" + std::string(300, 'a') + "/", "another form"},
      {std::string("http://images.example/\0a", 24), "without NUL, found 24 bytes"},
      {"http://images.example/" + std::string(20000, 'a'), "found 20022 bytes"},
      {"http://me:secret@images.example/", "without a user or password"},
      {"http://secret@images.example/", "without a user or password"},
      {"http://:secret@images.example/", "without a user or password"},
      {"http://secret\\@images.example/", "without a user or password"},
      {"http://images.example%40other.example/", "another form"},
  };
  for (const auto& [text, message] : cases) {
    const auto url = ParseImageUrl(text);
    ASSERT_FALSE(url) << text << " is " << url->text;
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(url.error().message.find(message), std::string::npos) << url.error().message;
    EXPECT_EQ(url.error().message.find("secret"), std::string::npos) << url.error().message;
  }
}

TEST(ImageUrl, Redirects) {
  const ImageUrl from = *ParseImageUrl("https://images.example:8443/a/b.png?c");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"d.png", "https://images.example:8443/a/d.png"},
      {"/d.png?e", "https://images.example:8443/d.png?e"},
      {"?e", "https://images.example:8443/a/b.png?e"},
      {"//Other.example/d", "https://other.example/d"},
      {"http://0x7f.1/d", "http://127.0.0.1/d"},
      {"/d d", "https://images.example:8443/d%20d"},
      {"file:///etc/passwd", ""},
      {"gopher://images.example/_a", ""},
      {"//me:secret@images.example/d", ""},
      {"http://", ""},
  };
  for (const auto& [location, text] : cases) {
    const auto next = ParseImageRedirect(from, location);
    EXPECT_EQ(next ? next->text : "", text) << location;
  }
}

bool Allows(const std::string& entry, const std::string& url) {
  return AllowsImageHost({"unrelated.example", entry}, *ParseImageUrl(url));
}

TEST(ImageUrl, AllowedHosts) {
  const std::string name = "Images.example";
  EXPECT_TRUE(Allows(name, "http://images.example/a"));
  EXPECT_TRUE(Allows(name, "https://IMAGES.example./a"));
  EXPECT_TRUE(Allows(name, "https://images.example:443/a"));
  EXPECT_FALSE(Allows(name, "http://images.example:443/a"));
  EXPECT_FALSE(Allows(name, "http://images.example:8080/a"));
  EXPECT_FALSE(Allows(name, "http://a.images.example/a"));
  EXPECT_FALSE(Allows(name, "http://images.example.evil.example/a"));
  EXPECT_FALSE(Allows(name, "http://evil.example/images.example"));
  EXPECT_TRUE(Allows("images.example:8080", "http://images.example:8080/a"));
  EXPECT_FALSE(Allows("images.example:8080", "http://images.example/a"));

  EXPECT_TRUE(Allows("*.example", "http://images.example/a"));
  EXPECT_TRUE(Allows("*.example", "http://a.images.example/a"));
  EXPECT_FALSE(Allows("*.images.example", "http://images.example/a"));
  EXPECT_FALSE(Allows("*.images.example", "http://evilimages.example/a"));
  EXPECT_FALSE(Allows("*.example", "http://images.example:8080/a"));
  EXPECT_TRUE(Allows("*.example:8080", "http://images.example:8080/a"));

  EXPECT_TRUE(Allows("*", "https://anything/"));
  EXPECT_TRUE(Allows("*", "https://[2001:db8::1]/"));
  EXPECT_FALSE(Allows("*", "https://anything:8443/"));
  EXPECT_TRUE(Allows("*:8443", "https://anything:8443/"));
  EXPECT_TRUE(Allows("[2001:DB8::1]:8443", "https://[2001:db8::1]:8443/"));
  EXPECT_TRUE(Allows("127.0.0.1", "http://0x7f.1/"));
  EXPECT_TRUE(Allows("xn--mller-kva.example", "http://müller.example/"));
  EXPECT_FALSE(AllowsImageHost({}, *ParseImageUrl("http://images.example/a")));

  for (const char* entry : {"a", "a:1", "*", "*:1", "*.a", "*.a.b:1", "[::1]:1", "1.2.3.4"}) {
    EXPECT_TRUE(CheckImageHost(entry)) << entry;
  }
  for (const char* entry :
       {"", "http://a", "a/", "*a", "a*", "**", "a.*.b", "a:b", "a:99999", "ä", "me@a", "a b"}) {
    EXPECT_FALSE(CheckImageHost(entry)) << entry;
    EXPECT_FALSE(Allows(entry, "http://a/")) << entry;
  }
}

}  // namespace
}  // namespace fulmen
