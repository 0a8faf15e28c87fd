#include "serve/fields.h"

#include <fmt/core.h>

namespace fulmen {
namespace {

tl::unexpected<ApiError> WrongAt(std::string path, std::string_view expected, const Json& found) {
  const std::string what = found.is_null() ? "nothing" : Shown(found);
  return ApiFail(ApiErrorKind::kInvalid, std::move(path), "expected {}, found {}", expected, what);
}

}  // namespace

ApiResult<Fields> Fields::Of(const Json& value, std::string path) {
  if (!value.is_object()) return WrongAt(std::move(path), "an object", value);
  return Fields(value, std::move(path));
}

std::string Fields::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

std::string Fields::PathOf(std::string_view name, size_t index) const {
  return fmt::format("{}[{}]", PathOf(name), index);
}

tl::unexpected<ApiError> Fields::Wrong(std::string_view name, std::string_view expected) const {
  return WrongAt(PathOf(name), expected, At(name));
}

ApiResult<std::optional<double>> Fields::Number(std::string_view name, double low,
                                                double high) const {
  const Json& value = At(name);
  if (value.is_null()) return std::nullopt;
  if (value.is_number()) {
    const auto number = value.get<double>();
    if (number >= low && number <= high) return number;
  }
  return Wrong(name, fmt::format("a number from {} to {}", low, high));
}

ApiResult<std::optional<int64_t>> Fields::Integer(std::string_view name, int64_t low,
                                                  int64_t high) const {
  const Json& value = At(name);
  if (value.is_null()) return std::nullopt;
  if (const auto number = IntegerIn(value, low, high)) return number;
  std::string expected = "a whole number";
  if (low > std::numeric_limits<int64_t>::min()) {
    expected += high < std::numeric_limits<int64_t>::max()
                    ? fmt::format(" from {} to {}", low, high)
                    : fmt::format(" of at least {}", low);
  }
  return Wrong(name, expected);
}

ApiResult<bool> Fields::Bool(std::string_view name, bool otherwise) const {
  const Json& value = At(name);
  if (value.is_null()) return otherwise;
  if (value.is_boolean()) return value.get<bool>();
  return Wrong(name, "true or false");
}

ApiResult<std::optional<std::string>> Fields::String(std::string_view name) const {
  const Json& value = At(name);
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return value.get<std::string>();
  return Wrong(name, "a string");
}

ApiResult<const Json*> Fields::List(std::string_view name) const {
  const Json& value = At(name);
  if (value.is_null() || value.is_array()) return &value;
  return Wrong(name, "a list");
}

ApiResult<std::optional<Fields>> Fields::Object(std::string_view name) const {
  const Json& value = At(name);
  if (value.is_null()) return std::nullopt;
  FULMEN_API_ASSIGN(Fields fields, Of(value, PathOf(name)));
  return fields;
}

ApiResult<std::string> Fields::NeededString(std::string_view name) const {
  FULMEN_API_ASSIGN(std::optional<std::string> text, String(name));
  if (!text) return Wrong(name, "a string");
  return *std::move(text);
}

ApiResult<const Json*> Fields::NeededList(std::string_view name) const {
  FULMEN_API_ASSIGN(const Json* list, List(name));
  if (list->is_null()) return Wrong(name, "a list");
  return list;
}

ApiResult<std::vector<std::string>> Fields::Strings(std::string_view name, size_t most) const {
  const Json& value = At(name);
  std::vector<std::string> strings;
  if (value.is_null()) return strings;
  const std::string expected =
      fmt::format("a string or a list of up to {}, none of them empty", most);
  const auto add = [&](const Json& element) {
    const bool good = element.is_string() && !element.get_ref<const std::string&>().empty();
    if (good) strings.push_back(element.get<std::string>());
    return good;
  };
  if (value.is_array()) {
    if (value.size() > most) return Wrong(name, expected);
    for (const Json& element : value) {
      if (!add(element)) return Wrong(name, expected);
    }
  } else if (!add(value)) {
    return Wrong(name, expected);
  }
  return strings;
}

}  // namespace fulmen
