#include "grammar/formats.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fulmen {
namespace {

struct FormatCase {
  std::string format;
  std::vector<std::string> valid;
  std::vector<std::string> invalid;
};

void CheckFormats(const std::vector<FormatCase>& cases, Spelling spelling = Spelling::kText) {
  for (const FormatCase& it : cases) {
    Terms terms;
    const std::optional<Term> term = FormatTerm(terms, it.format, spelling);
    ASSERT_TRUE(term.has_value()) << it.format;
    EXPECT_TRUE(terms.Live(*term)) << it.format;
    for (const std::string& text : it.valid) {
      EXPECT_TRUE(terms.Matches(*term, text)) << it.format << " and " << text;
    }
    for (const std::string& text : it.invalid) {
      EXPECT_FALSE(terms.Matches(*term, text)) << it.format << " and " << text;
    }
  }
}

TEST(Formats, OfTime) {
  CheckFormats(
      {{"date",
        {"2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01", "2023-04-30"},
        {"2023-02-29", "1900-02-29", "0000-02-29", "0000-01-01", "2023-04-31", "2023-13-01",
         "2023-00-10", "2023-1-1", "12023-01-01", "2023-01-01\n", ""}},
       {"time",
        {"00:00:00Z", "23:59:59.123456789+23:59", "12:00:00-00:00"},
        {"24:00:00Z", "12:60:00Z", "12:00:60Z", "12:00:00", "12:00Z", "12:00:00.Z",
         "12:00:00+24:00", "12:00:00+1:00"}},
       {"date-time",
        {"2024-02-29T12:30:00Z", "1985-04-12T23:20:50.52+05:30"},
        {"2023-02-29T12:30:00Z", "2024-02-29 12:30:00Z", "2024-02-29", "2024-02-29T12:30:00"}},
       {"duration",
        {"P4Y", "P1Y2M3DT4H5M6S", "PT0S", "P1M", "PT1M", "P2W", "P1DT1S", "PT36H"},
        {"P", "PT", "P1", "4Y", "P1YT", "P2W1D", "P1Y3D", "PT1H2S", "P1.5D", "PT1D", "p1y"}}});
}

TEST(Formats, OfHosts) {
  const std::string longest(63, 'a');
  const std::string four = longest + "." + longest + "." + longest + "." + longest;
  CheckFormats(
      {{"hostname",
        {"localhost", "example.com", "a-b.c1", "A.B", longest, four.substr(2)},
        {"", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", longest + "a", four.substr(1), "xn--a",
         "\u00E9.fr"}},
       {"idn-hostname",
        {"localhost", "\u4F8B\u3048.jp", "m\u00FCnchen.de", "\uC2E4\uB840", longest},
        {"", "\u3002", "\u00C9.fr", "a..b", "-\u00E9", "\u00E9-", "\u302E", "\u05D0",
         "\u00E9\u0301", std::string("xn--\u00E9")}},
       {"ipv4",
        {"0.0.0.0", "192.168.10.255"},
        {"256.0.0.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.4 ", "0x1.2.3.4"}},
       {"ipv6",
        {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
         "1::4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2::1.2.3.4", "ABCD::ef01"},
        {"", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",
         "12345::", "g::", "1:2:3:4:5:6:7::8", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5",
         "fe80::1%eth0", "1:", "1:2:3:4:5:6:7:1.2.3.4", "::1/64"}}});
}

TEST(Formats, OfMail) {
  const std::string longest(64, 'a');
  CheckFormats(
      {{"email",
        {"a@b.de", "first.last+tag@sub.example.com", "x_y'z@a-b.org", longest + "@b.de"},
        {"", "a", "@b.de", "a@", "a@b", ".a@b.de", "a.@b.de", "a..b@c.de", "a b@c.de", "a@b..de",
         "a@b@c.de", "\"a b\"@c.de", longest + "a@b.de", "\u00E9@b.de",
         "a@" + std::string(253, 'b') + ".de"}},
       {"idn-email",
        {"a@b.de", "\uC2E4\uB840@\uC2E4\uB840.\uD14C\uC2A4\uD2B8", "j\u00F6rg@m\u00FCller.de"},
        {"", "\u00E9", "\u00E9@", "@\u00E9.de", "\u00E9 a@b.de"}}});
}

TEST(Formats, OfResources) {
  const std::vector<std::string> uris{"http://foo.bar/?baz=qux#quux",
                                      "http://user:pw@[2001:db8::7]:80/a/b;c=1?d",
                                      "urn:oasis:names",
                                      "mailto:a@b.de",
                                      "tel:+1-816-555-1212",
                                      "file:///etc/hosts",
                                      "ftp://1.2.3.4",
                                      "a:",
                                      "a:/",
                                      "http://a//b",
                                      "ldap://[v1.x:y]/c=GB?one",
                                      "http://%C3%A9/%20"};
  const std::vector<std::string> references{"",      "/",      "//host/x", "/a/b", "a",
                                            "./a:b", "../x?y", "#frag",    "?q=1"};
  const std::vector<std::string> never{"http://a b",
                                       "http://a/\\",
                                       "http://[::1",
                                       "http://a/%2",
                                       "<http://a>",
                                       "http://a/{b}",
                                       "http://[1.2.3.4]/",
                                       "a^b",
                                       "http://a:x/",
                                       "#a#b",
                                       ":a",
                                       "1a:b",
                                       "a\n"};
  std::vector<std::string> not_uris = never;
  not_uris.insert(not_uris.end(), references.begin(), references.end());
  not_uris.emplace_back("http://a/\u00E9");
  std::vector<std::string> either = uris;
  either.insert(either.end(), references.begin(), references.end());
  std::vector<std::string> iris = uris;
  iris.insert(iris.end(), {"http://\u00E9.fr/\u4F8B?\uE000", "http://a/\U0001F600"});
  CheckFormats({{"uri", uris, not_uris},
                {"uri-reference", either, never},
                {"iri", iris, {"", "/a", "http://a/\uE000", "http://a/\uFFFF", "http://\u00E9 b"}},
                {"iri-reference", either, never},
                {"uri-template",
                 {"", "http://example.com/{id}", "/a{?q,lang*}{#x:3}", "{a.b}%20\u00E9"},
                 {"{", "{}", "{a", "a}", "{a,}", "{a:0}", "{a b}", "\"", "%2"}}});
}

TEST(Formats, OfIdentifiersAndPointers) {
  CheckFormats({{"uuid",
                 {"123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"},
                 {"123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g", ""}},
                {"json-pointer", {"", "/", "/a/b~0c~1d", "/\u00E9 \""}, {"a", "/~", "/~2", "#/a"}},
                {"relative-json-pointer",
                 {"0", "1/a", "10#", "0/"},
                 {"", "/a", "01/a", "-1/a", "1##", "1#/a", "+1"}},
                {"byte",
                 {"", "AAAA", "aGk=", "aA==", "+/+/"},
                 {"A", "AA", "AAA", "aGl=x", "a===", "aB==", "aGj=", "AA A", "-_-_"}}});
  CheckFormats({{"json-pointer", {"/\\\"a\\n"}, {"/\"", "/\n"}}}, Spelling::kJson);
}

TEST(Formats, OfPatterns) {
  CheckFormats(
      {{"regex",
        {"", "^a+b*?c{2}$", "([A-Z]\\d+|x)?", "((a)(?:b(c)))", "[^a-z\\-\\]]", "a|", "\\.\\\\",
         ".{1,3}", "a{2,}"},
        {"(", ")", "a**", "*", "[", "[b-a]", "a{2,1}", "\\", "\\q", "(?<a", "a{", "[]", "^*"}}});
  CheckFormats({{"regex", {"\\\\d\\\""}, {"\\d"}}}, Spelling::kJson);
}

TEST(Formats, ThatAreUnknownPromiseNothing) {
  Terms terms;
  for (const std::string format : {"", "color", "password", "int32", "Date", "date "}) {
    EXPECT_FALSE(FormatTerm(terms, format, Spelling::kText).has_value()) << format;
  }
}

}  // namespace
}  // namespace fulmen
