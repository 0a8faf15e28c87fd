#include "serve/request_json.h"

#include <simdjson.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_kind.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

constexpr int kMaxDepth = 200;
constexpr int64_t kMaxValues = 8'000'000;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// nlohmann's own members copy their values whenever they grow, since their keys are constant: of
// objects within objects the innermost would be copied once for each level.
using Members = std::vector<std::pair<std::string, Json>>;

// Few keys are compared with each other, which is quicker than sorting them.
bool MayRepeatKeys(const Members& members) {
  constexpr size_t kFew = 16;
  if (members.size() > kFew) return true;
  for (size_t i = 0; i < members.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (members[i].first == members[j].first) return true;
    }
  }
  return false;
}

// The last of equal keys counts, in the place of the first. Sorting cannot be slowed down by
// chosen keys, as hashing can.
void JoinEqualKeys(Members& members) {
  std::vector<size_t> order(members.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {},
                           [&](size_t i) -> const std::string& { return members[i].first; });
  std::vector<bool> repeats(members.size(), false);
  size_t first = 0;
  for (size_t i = 1; i < order.size(); ++i) {
    if (members[order[i]].first != members[order[first]].first) {
      first = i;
      continue;
    }
    members[order[first]].second = std::move(members[order[i]].second);
    repeats[order[i]] = true;
  }
  size_t kept = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (repeats[i]) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.resize(kept);
}

Json ToObject(Members members) {
  if (MayRepeatKeys(members)) JoinEqualKeys(members);
  Json json = Json::object();
  auto& object = json.get_ref<Json::object_t&>();
  object.reserve(members.size());
  for (auto& [key, value] : members) object.emplace_back(std::move(key), std::move(value));
  return json;
}

// Builds the values of one document. After an error `problem` says what was wrong.
class Reader {
 public:
  bool Object(ondemand::object object, Json& into, int depth) {
    if (!MayOpen(depth)) return false;
    Members members;
    for (auto result : object) {
      ondemand::field field;
      std::string_view key;
      if (!Good(std::move(result).get(field))) return false;
      if (!Good(field.unescaped_key().get(key))) return false;
      Json& value = members.emplace_back(std::string(key), Json()).second;
      if (!Value(field.value(), value, depth)) return false;
    }
    into = ToObject(std::move(members));
    return true;
  }

  error_code error() const { return error_; }
  // What the error is, where simdjson has no name for it.
  const std::string& problem() const { return problem_; }

 private:
  bool Value(ondemand::value value, Json& into, int depth) {
    if (++values_ > kMaxValues) {
      return Refuse(fmt::format("more than {} values", kMaxValues));
    }
    ondemand::json_type type;
    if (!Good(value.type().get(type))) return false;
    switch (type) {
      case ondemand::json_type::object: {
        ondemand::object object;
        return Good(value.get_object().get(object)) && Object(object, into, depth + 1);
      }
      case ondemand::json_type::array: {
        ondemand::array array;
        return Good(value.get_array().get(array)) && Array(array, into, depth + 1);
      }
      case ondemand::json_type::string: {
        std::string_view text;
        if (!Good(value.get_string().get(text))) return false;
        into = std::string(text);
        return true;
      }
      case ondemand::json_type::number:
        return Number(value, into);
      case ondemand::json_type::boolean:
        return Read(value.get_bool(), into);
      case ondemand::json_type::null: {
        bool is_null = false;
        if (!Good(value.is_null().get(is_null))) return false;
        return is_null || Good(simdjson::N_ATOM_ERROR);
      }
    }
    return Good(simdjson::TAPE_ERROR);
  }

  bool Array(ondemand::array array, Json& into, int depth) {
    if (!MayOpen(depth)) return false;
    into = Json::array();
    auto& elements = into.get_ref<Json::array_t&>();
    for (auto result : array) {
      if (!Good(result.error())) return false;
      if (!Value(result.value_unsafe(), elements.emplace_back(), depth)) return false;
    }
    return true;
  }

  // simdjson reads whole numbers of 64 bits. Its fractions of more than 19 digits come out wrong
  // where it is built for any processor (3.0.1), so the other parser reads these, and larger ones.
  bool Number(ondemand::value value, Json& into) {
    ondemand::number_type type;
    if (!Good(value.get_number_type().get(type))) return false;
    if (type == ondemand::number_type::signed_integer && Read(value.get_int64(), into)) return true;
    if (type == ondemand::number_type::unsigned_integer && Read(value.get_uint64(), into)) {
      return true;
    }
    into = Json::parse(value.raw_json_token(), nullptr, /*allow_exceptions=*/false);
    return Good(into.is_discarded() ? simdjson::NUMBER_ERROR : simdjson::SUCCESS);
  }

  template <class T>
  bool Read(simdjson::simdjson_result<T> result, Json& into) {
    if (!Good(result.error())) return false;
    into = result.value_unsafe();
    return true;
  }

  bool MayOpen(int depth) {
    return depth <= kMaxDepth || Refuse(fmt::format("more than {} levels", kMaxDepth));
  }
  bool Good(error_code error) {
    error_ = error;
    return error == simdjson::SUCCESS;
  }
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  int64_t values_ = 0;
  error_code error_ = simdjson::SUCCESS;
  std::string problem_;
};

std::string_view NameOf(error_code error) {
  switch (error) {
    case simdjson::STRING_ERROR:
      return "a string with an escape that is none";
    case simdjson::NUMBER_ERROR:
    case simdjson::NUMBER_OUT_OF_RANGE:
      return "a number that is none, or beyond 64-bit floating point";
    case simdjson::UNESCAPED_CHARS:
      return "a control character in a string that is not escaped";
    case simdjson::UNCLOSED_STRING:
      return "a string without an end";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return "an object or a list without an end";
    case simdjson::TRAILING_CONTENT:
      return "something after the end of the object";
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return "more than there is memory for";
    default:
      return "a comma, a bracket, a key or a value that is missing or one too many";
  }
}

tl::unexpected<ApiError> Invalid(std::string message) {
  return tl::unexpected<ApiError>(ApiError{ApiErrorKind::kInvalid, std::move(message)});
}

// The first byte that is no UTF-8.
size_t WhereNotUtf8(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* at = text.data();
  while (at != end) {
    const Utf8Char next = DecodeUtf8(at, end);
    if (next.kind != Utf8Char::Kind::kValid) break;
    at += next.bytes;
  }
  return static_cast<size_t>(at - text.data());
}

std::string Place(std::string_view text, size_t byte) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(byte), '\n');
  return fmt::format(" at byte {} (line {})", byte, line);
}

tl::unexpected<ApiError> Wrong(std::string_view text, std::string_view what,
                               std::optional<size_t> byte) {
  return Invalid(fmt::format("a JSON object is expected as the body, found {}{}", what,
                             byte ? Place(text, *byte) : ""));
}

tl::unexpected<ApiError> Wrong(std::string_view text, error_code error,
                               std::optional<size_t> byte) {
  if (error == simdjson::EMPTY) return Wrong(text, "nothing", std::nullopt);
  if (const std::string_view kind = FileKind(text); !kind.empty()) {
    return Wrong(text, kind, std::nullopt);
  }
  if (error == simdjson::UTF8_ERROR) return Wrong(text, "what is no UTF-8", WhereNotUtf8(text));
  return Wrong(text, NameOf(error), byte);
}

// `body` has the padding that simdjson reads past its end. `error` is simdjson's.
ApiResult<Json> Parse(const std::string& body, error_code& error) {
  const size_t skipped = body.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const std::string_view text = std::string_view(body).substr(skipped);
  ondemand::parser parser;
  ondemand::document document;
  error =
      parser.iterate(simdjson::padded_string_view(text, body.capacity() - skipped)).get(document);
  if (error) return Wrong(text, error, std::nullopt);
  const auto place = [&]() -> std::optional<size_t> {
    const char* location = nullptr;
    if (document.current_location().get(location)) return std::nullopt;
    return std::min(static_cast<size_t>(location - text.data()), text.size());
  };
  ondemand::object object;
  error = document.get_object().get(object);
  if (error == simdjson::INCORRECT_TYPE) return Wrong(text, "something else", 0);
  if (error) return Wrong(text, error, place());
  Json json;
  Reader reader;
  if (!reader.Object(object, json, 1)) {
    error = reader.error();
    if (!reader.problem().empty()) return Wrong(text, reader.problem(), place());
    return Wrong(text, error, place());
  }
  if (const auto after = place()) return Wrong(text, simdjson::TRAILING_CONTENT, after);
  return json;
}

// The value of the escape \uXXXX at `at`.
std::optional<uint32_t> EscapedUnit(std::string_view text, size_t at) {
  if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  uint32_t unit = 0;
  for (const char digit : text.substr(at + 2, 4)) {
    const auto value =
        std::string_view("0123456789abcdef")
            .find(static_cast<char>(digit >= 'A' && digit <= 'F' ? digit + 32 : digit));
    if (value == std::string_view::npos) return std::nullopt;
    unit = unit * 16 + static_cast<uint32_t>(value);
  }
  return unit;
}

// Escapes of half a surrogate pair become \uFFFD. Whether there were any.
bool ReplaceLoneSurrogates(std::string& text) {
  const auto in = [](std::optional<uint32_t> unit, uint32_t low, uint32_t high) {
    return unit && *unit >= low && *unit <= high;
  };
  bool any = false;
  for (size_t at = text.find('\\'); at != std::string::npos; at = text.find('\\', at)) {
    const std::optional<uint32_t> unit = EscapedUnit(text, at);
    if (in(unit, 0xD800, 0xDBFF) && in(EscapedUnit(text, at + 6), 0xDC00, 0xDFFF)) {
      at += 12;
      continue;
    }
    if (in(unit, 0xD800, 0xDFFF)) {
      text.replace(at, 6, "\\uFFFD");
      any = true;
    }
    at += unit ? 6 : 2;
  }
  return any;
}

}  // namespace

ApiResult<Json> ParseRequestJson(std::string body) {
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  error_code error = simdjson::SUCCESS;
  ApiResult<Json> json = Parse(body, error);
  if (!json && error == simdjson::STRING_ERROR && ReplaceLoneSurrogates(body)) {
    json = Parse(body, error);
  }
  return json;
}

}  // namespace fulmen
