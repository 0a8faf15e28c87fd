#include "serve/http_router.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

HttpRouter RouterOf(const std::vector<std::pair<std::string, std::string>>& routes) {
  std::vector<Route> list;
  for (const auto& [method, path] : routes) {
    Route route;
    route.method = method;
    route.path = path;
    route.handler = [](Exchange&, const PathValues&) -> boost::asio::awaitable<void> { co_return; };
    list.push_back(std::move(route));
  }
  return HttpRouter(std::move(list));
}

TEST(HttpRouter, FindsTheRouteWithTheFewestNames) {
  const HttpRouter router = RouterOf({{"GET", "/a/{id}/b"},
                                      {"GET", "/a/{id}/{other}"},
                                      {"POST", "/a/{id}/b"},
                                      {"GET", "/a/x/b"},
                                      {"GET", "/"}});
  const auto path_of = [&](std::string_view method, std::string_view path) {
    const HttpRouter::Match match = router.Find(method, path);
    return match.route == nullptr ? "" : match.route->path;
  };
  EXPECT_EQ(path_of("GET", "/"), "/");
  EXPECT_EQ(path_of("GET", "/a/1/b"), "/a/{id}/b");
  EXPECT_EQ(path_of("GET", "/a/x/b"), "/a/x/b");
  EXPECT_EQ(path_of("HEAD", "/a/x/b"), "/a/x/b");
  EXPECT_EQ(path_of("POST", "/a/x/b"), "/a/{id}/b");
  EXPECT_EQ(path_of("GET", "/a/x/c"), "/a/{id}/{other}");
  for (const char* other : {"/a", "/a/", "/a//b", "/a/x/b/", "//", "/A/x/b", "*", "", "/a/%/b"}) {
    EXPECT_EQ(path_of("GET", other), "") << other;
  }
}

TEST(HttpRouter, DecodesValuesAndNamesTheMethods) {
  const HttpRouter router = RouterOf({{"GET", "/m/{name}"}, {"DELETE", "/m/{name}"}});
  const HttpRouter::Match match = router.Find("GET", "/m/org%2Fname%20x");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.values.at("name"), "org/name x");
  const HttpRouter::Match other = router.Find("PATCH", "/m/x");
  EXPECT_EQ(other.route, nullptr);
  EXPECT_EQ(other.methods, (std::vector<std::string>{"DELETE", "GET", "HEAD"}));
  EXPECT_TRUE(router.Find("GET", "/n/x").methods.empty());
}

}  // namespace
}  // namespace fulmen
