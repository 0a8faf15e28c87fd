#include "serve/http_router.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "serve/http_text.h"

namespace fulmen {
namespace {

// What lies between the slashes of "/a/b".
std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    segments.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

bool IsName(std::string_view segment) { return segment.starts_with('{'); }

// The values of the names, where the path fits.
std::optional<PathValues> Fit(const std::vector<std::string>& pattern,
                              const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  PathValues values;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view segment = pattern[i];
    if (IsName(segment) && !path[i].empty()) {
      values.emplace(segment.substr(1, segment.size() - 2), path[i]);
    } else if (segment != path[i]) {
      return std::nullopt;
    }
  }
  return values;
}

}  // namespace

HttpRouter::HttpRouter(std::vector<Route> routes) {
  for (Route& route : routes) {
    FULMEN_CHECK(route.path.starts_with('/') && route.handler != nullptr,
                 "a route needs a path that begins with / and a handler, '{}' does not",
                 route.path);
    std::vector<std::string> segments = Segments(route.path);
    entries_.push_back({std::move(route), std::move(segments)});
  }
}

HttpRouter::Match HttpRouter::Find(std::string_view method, std::string_view raw_path) const {
  Match match;
  if (!raw_path.starts_with('/')) return match;
  std::vector<std::string> path = Segments(raw_path);
  for (std::string& segment : path) {
    auto decoded = PercentDecode(segment);
    if (!decoded) return match;
    segment = *std::move(decoded);
  }
  for (const Entry& entry : entries_) {
    auto values = Fit(entry.segments, path);
    if (!values) continue;
    const bool is_get = entry.route.method == "GET";
    match.methods.push_back(entry.route.method);
    if (is_get) match.methods.emplace_back("HEAD");
    if (entry.route.method != method && !(is_get && method == "HEAD")) continue;
    if (match.route == nullptr || values->size() < match.values.size()) {
      match.route = &entry.route;
      match.values = *std::move(values);
    }
  }
  std::sort(match.methods.begin(), match.methods.end());
  match.methods.erase(std::unique(match.methods.begin(), match.methods.end()), match.methods.end());
  return match;
}

}  // namespace fulmen
