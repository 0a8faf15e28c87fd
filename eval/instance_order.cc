#include "eval/instance_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "tokenizer/python_json.h"

namespace fulmen {
namespace {

// Values that are placed before an instance counts as refused.
constexpr int kMostTries = 20'000;

// Every list of properties in a schema, in the order of the document.
void ListProperties(const Json& schema, std::vector<std::vector<std::string>>& lists) {
  if (!schema.is_structured()) return;
  if (const Json& properties = Member(schema, "properties"); properties.is_object()) {
    std::vector<std::string>& names = lists.emplace_back();
    for (const auto& [name, property] : properties.items()) names.push_back(name);
  }
  for (const Json& part : schema) ListProperties(part, lists);
}

std::optional<Json> PlaceText(const std::string& text, const Json& value, Matcher& matcher) {
  if (!matcher.AcceptText(text)) return std::nullopt;
  return value;
}

}  // namespace

InstanceOrder::InstanceOrder(const Json& schema) { ListProperties(schema, lists_); }

std::optional<Json> InstanceOrder::Find(const Json& value, const Matcher& start) {
  Matcher matcher = start;
  tries_ = 0;
  return Place(value, matcher);
}

std::optional<Json> InstanceOrder::Place(const Json& value, Matcher& matcher) {
  if (++tries_ > kMostTries) return std::nullopt;
  if (!value.is_structured() || value.empty()) return PlaceText(PythonJson(value), value, matcher);
  if (value.is_object()) return PlaceObject(value, matcher);
  Json items = Json::array();
  for (const Json& item : value) {
    if (!matcher.AcceptText(items.empty() ? "[" : ", ")) return std::nullopt;
    auto placed = Place(item, matcher);
    if (!placed) return std::nullopt;
    items.push_back(*std::move(placed));
  }
  return PlaceText("]", items, matcher);
}

std::optional<Json> InstanceOrder::PlaceObject(const Json& value, Matcher& matcher) {
  std::vector<std::string> names = Guess(value);
  // What had no place left belongs further ahead.
  for (size_t round = 0; round <= names.size(); ++round) {
    Matcher next = matcher;
    std::vector<std::string> left = names;
    const auto placed = PlaceProperties(value, left, next);
    if (left.empty() && next.AcceptText("}")) {
      matcher = next;
      return placed;
    }
    if (left.empty() || left.size() == names.size() || tries_ > kMostTries) break;
    std::stable_partition(names.begin(), names.end(), [&](const std::string& name) {
      return std::ranges::find(left, name) != left.end();
    });
  }
  return std::nullopt;
}

// The list that has most keys of the object, then the one that has most of the others, …; last
// those that are in none.
std::vector<std::string> InstanceOrder::Guess(const Json& object) const {
  std::vector<std::string> left;
  for (const auto& [name, property] : object.items()) left.push_back(name);
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  std::map<size_t, std::vector<std::string>> parts;  // by list
  while (!left.empty()) {
    size_t best = 0;
    std::vector<std::string> most;
    for (size_t list = 0; list < lists_.size(); ++list) {
      std::vector<std::string> known;
      std::ranges::copy_if(lists_[list], std::back_inserter(known),
                           [&](const std::string& name) { return has(left, name); });
      if (known.size() <= most.size()) continue;
      best = list;
      most = std::move(known);
    }
    if (most.empty()) break;
    std::erase_if(left, [&](const std::string& name) { return has(most, name); });
    parts[best] = std::move(most);
  }
  std::vector<std::string> names;
  for (const auto& [list, part] : parts) names.insert(names.end(), part.begin(), part.end());
  names.insert(names.end(), left.begin(), left.end());
  return names;
}

// Takes from `names` each time the first whose property may come next, as long as one may.
Json InstanceOrder::PlaceProperties(const Json& value, std::vector<std::string>& names,
                                    Matcher& matcher) {
  Json placed = Json::object();
  for (size_t at = 0; at < names.size();) {
    Matcher next = matcher;
    std::optional<Json> property;
    if (next.AcceptText(
            fmt::format("{}{}: ", placed.empty() ? "{" : ", ", PythonJson(Json(names[at]))))) {
      property = Place(value[names[at]], next);
    }
    if (!property) {
      ++at;
      continue;
    }
    placed[names[at]] = *std::move(property);
    matcher = next;
    names.erase(names.begin() + static_cast<std::ptrdiff_t>(at));
    at = 0;
  }
  return placed;
}

}  // namespace fulmen
