#include "base/json.h"

#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/file_io.h"
#include "base/file_kind.h"
#include "base/printable.h"

namespace fulmen {
namespace {

constexpr size_t kMaxDepth = 200;

// Builds a value from the parser's events. nlohmann's own builder looks every key up among those
// already there, which is quadratic for a vocabulary, and throws for a number out of range.
class Builder : public Json::json_sax_t {
 public:
  Json TakeRoot() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(int64_t value) override { return Add(value); }
  bool number_unsigned(uint64_t value) override { return Add(value); }
  bool number_float(double value, const std::string&) override { return Add(value); }
  bool string(std::string& value) override { return Add(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }
  bool end_object() override { return KeysAreUnique(*open_.back()) && Close(); }
  bool key(std::string& value) override {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem_ = fmt::format("not valid JSON at byte {}", position);
    return false;
  }

 private:
  template <class T>
  bool Add(T&& value) {
    Place(Json(std::forward<T>(value)));
    return true;
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    std::vector<std::pair<const std::string, Json>>& members = parent.get_ref<Json::object_t&>();
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }

  bool Open(Json value) {
    if (open_.size() == kMaxDepth) {
      problem_ = fmt::format("JSON nested deeper than {} levels", kMaxDepth);
      return false;
    }
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool KeysAreUnique(const Json& object) {
    std::unordered_set<std::string_view> keys;
    for (const auto& member : object.get_ref<const Json::object_t&>()) {
      if (keys.insert(member.first).second) continue;
      problem_ = fmt::format("JSON with the key \"{}\" twice in one object", member.first);
      return false;
    }
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // a parent does not grow while its child is open, so pointers hold
  std::string key_;
  std::string problem_;
};

}  // namespace

Result<Json> ParseJson(std::string_view text, const std::string& where) {
  Builder builder;
  if (!Json::sax_parse(text, &builder)) {
    const std::string_view kind = text.empty() ? "nothing" : FileKind(text);
    if (kind.empty()) return Fail(ErrorCode::kCorrupt, "{}: {}", where, builder.problem());
    return Fail(ErrorCode::kCorrupt, "{}: JSON is expected, found {}", where, kind);
  }
  // The parser takes a NUL outside of strings for the end of its input.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Fail(ErrorCode::kCorrupt, "{}: not valid JSON at byte {}", where, nul + 1);
  }
  return builder.TakeRoot();
}

Result<Json> ReadJsonFile(const std::string& path) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

std::string DumpJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string Shown(const Json& value) {
  constexpr size_t kMost = 60;
  return Printable(DumpJson(value), kMost);
}

// The JSON library keeps numbers above 2^63 unsigned and those made by a program signed.
std::optional<int64_t> IntegerIn(const Json& value, int64_t low, int64_t high) {
  if (!value.is_number_integer()) return std::nullopt;
  constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (value.is_number_unsigned() && value.get<uint64_t>() > kLargest) return std::nullopt;
  const auto integer = value.get<int64_t>();
  return integer >= low && integer <= high ? std::optional(integer) : std::nullopt;
}

std::string_view TextOf(const Json& value) {
  return value.is_string() ? std::string_view(value.get_ref<const std::string&>())
                           : std::string_view();
}

const Json& Member(const Json& value, std::string_view key) {
  static const Json null;
  if (!value.is_object()) return null;
  const auto found = value.find(key);
  return found != value.end() ? *found : null;
}

Result<std::string> StringMember(const Json& value, std::string_view key,
                                 const std::string& where) {
  const Json& member = Member(value, key);
  if (member.is_string()) return member.get<std::string>();
  return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a string, found {}", where, key,
              Shown(member));
}

Result<bool> BoolMember(const Json& value, std::string_view key, bool otherwise,
                        const std::string& where) {
  const Json& member = Member(value, key);
  if (member.is_null()) return otherwise;
  if (member.is_boolean()) return member.get<bool>();
  return Fail(ErrorCode::kCorrupt, "{}: '{}' should be true or false, found {}", where, key,
              Shown(member));
}

double ShortestDecimal(float value) { return std::stod(fmt::format("{}", value)); }

}  // namespace fulmen
