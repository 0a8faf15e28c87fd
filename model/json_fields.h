// The fields of one untrusted JSON object, read one by one and checked once.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

// Reads fields of one object, keeping the first thing that was wrong; after that every read returns
// its default, so the caller checks once at the end.
class JsonFields {
 public:
  JsonFields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  Status status() const {
    if (!problem_) return {};
    return tl::unexpected<Error>(*problem_);
  }
  bool ok() const { return !problem_; }

  template <class... Args>
  void Refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    if (problem_) return;
    problem_ = Error{code, where_ + ": " + fmt::format(format, std::forward<Args>(args)...)};
  }

  // Null counts as absent.
  const Json* Find(std::string_view name) const { return Find(json_, name); }
  static const Json* Find(const Json& object, std::string_view name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  int64_t Integer(std::string_view name, int64_t max, std::optional<int64_t> fallback = {}) {
    const Json* value = Find(name);
    if (value == nullptr) {
      if (!fallback) {
        Refuse(ErrorCode::kCorrupt, "{} is missing, expected a whole number from 1 to {}", name,
               max);
      }
      return fallback.value_or(1);
    }
    const std::optional<int64_t> number = IntegerIn(*value, 1, max);
    if (!number) {
      Refuse(ErrorCode::kCorrupt, "{} should be a whole number from 1 to {}, found {}", name, max,
             Shown(*value));
    }
    return number.value_or(1);
  }

  double Number(const Json* value, std::string_view name, double low, double high,
                double fallback) {
    if (value == nullptr) return fallback;
    const double number = value->is_number() ? value->get<double>() : std::nan("");
    if (!(number >= low && number <= high)) {
      Refuse(ErrorCode::kCorrupt, "{} should be a number from {:g} to {:g}, found {}", name, low,
             high, Shown(*value));
      return fallback;
    }
    return number;
  }

  double Number(std::string_view name, double low, double high, double fallback) {
    return Number(Find(name), name, low, high, fallback);
  }

  bool Boolean(std::string_view name, bool fallback) {
    const Json* value = Find(name);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      Refuse(ErrorCode::kCorrupt, "{} should be true or false, found {}", name, Shown(*value));
      return fallback;
    }
    return value->get<bool>();
  }

 private:
  const Json& json_;
  std::string where_;
  std::optional<Error> problem_;
};

}  // namespace fulmen
