#include "base/json.h"

#include <unordered_set>
#include <utility>
#include <vector>

#include "base/file_io.h"

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
    return Fail(ErrorCode::kCorrupt, "{}: {}", where, builder.problem());
  }
  return builder.TakeRoot();
}

Result<Json> ReadJsonFile(const std::string& path) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

}  // namespace fulmen
