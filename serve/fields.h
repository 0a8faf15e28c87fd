// Reads the fields of a request, and says which of them is wrong.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"

namespace fulmen {

// An object somewhere in a request. A field that is null counts as absent. Errors are kInvalid and
// name the field by its path from the top, as in "tools[0].function.name". The JSON must outlive
// it.
class Fields {
 public:
  // Fails when `value` is no object.
  static ApiResult<Fields> Of(const Json& value, std::string path = "");

  // Null where it is absent.
  const Json& At(std::string_view name) const { return Member(*object_, name); }
  bool Has(std::string_view name) const { return !At(name).is_null(); }
  std::string PathOf(std::string_view name) const;
  std::string PathOf(std::string_view name, size_t index) const;  // of an element of a list

  // Absent, or of the type and within the bounds, which are part of the range.
  ApiResult<std::optional<double>> Number(std::string_view name, double low, double high) const;
  ApiResult<std::optional<int64_t>> Integer(
      std::string_view name, int64_t low = std::numeric_limits<int64_t>::min(),
      int64_t high = std::numeric_limits<int64_t>::max()) const;
  ApiResult<bool> Bool(std::string_view name, bool otherwise) const;
  ApiResult<std::optional<std::string>> String(std::string_view name) const;
  // A list or an object, or null where it is absent.
  ApiResult<const Json*> List(std::string_view name) const;
  ApiResult<std::optional<Fields>> Object(std::string_view name) const;

  // Fails where it is absent.
  ApiResult<std::string> NeededString(std::string_view name) const;
  ApiResult<const Json*> NeededList(std::string_view name) const;

  // A string, or a list of up to `most` strings: `stop` and its kind. None may be empty.
  ApiResult<std::vector<std::string>> Strings(std::string_view name, size_t most) const;

  // Fails with what was expected of a field, as in "a list of messages", and what was found.
  tl::unexpected<ApiError> Wrong(std::string_view name, std::string_view expected) const;

 private:
  Fields(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {}

  const Json* object_;
  std::string path_;
};

}  // namespace fulmen
