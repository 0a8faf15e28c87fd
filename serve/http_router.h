// Finds the route of a request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace fulmen {

class HttpRouter {
 public:
  explicit HttpRouter(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;      // null where none has path and method
    PathValues values;                 // decoded
    std::vector<std::string> methods;  // that the path has, HEAD beside GET; empty: no such path
  };
  // `raw_path` is not decoded, so that a {name} may stand for text with a "/" in it, as "%2F". Of
  // routes that fit, the one with the fewest {names} is taken. HEAD finds the route of GET.
  Match Find(std::string_view method, std::string_view raw_path) const;

 private:
  struct Entry {
    Route route;
    std::vector<std::string> segments;
  };

  std::vector<Entry> entries_;
};

}  // namespace fulmen
