#include "eval/masks.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "tokenizer/python_json.h"

namespace fulmen {
namespace {

// Values that are placed before an instance counts as refused.
constexpr int kMostTries = 20'000;

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since).count();
}

// Every list of properties in a schema, in the order of the document.
void ListProperties(const Json& schema, std::vector<std::vector<std::string>>& lists) {
  if (!schema.is_structured()) return;
  if (const Json& properties = Member(schema, "properties"); properties.is_object()) {
    std::vector<std::string>& names = lists.emplace_back();
    for (const auto& [name, property] : properties.items()) names.push_back(name);
  }
  for (const Json& part : schema) ListProperties(part, lists);
}

// Finds the order of properties that a grammar wants. Depth first, each key as soon as it is
// allowed, in the order of those lists of the schema that know most of them.
class Orderer {
 public:
  explicit Orderer(const Json& schema) { ListProperties(schema, lists_); }

  // `value` so that its text is allowed behind what `matcher` has read; nullopt if it is in no
  // order that was tried.
  std::optional<Json> Order(const Json& value, const Matcher& start) {
    Matcher matcher = start;
    tries_ = 0;
    return Place(value, matcher);
  }

 private:
  std::optional<Json> Place(const Json& value, Matcher& matcher) {
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

  static std::optional<Json> PlaceText(const std::string& text, const Json& value,
                                       Matcher& matcher) {
    if (!matcher.AcceptText(text)) return std::nullopt;
    return value;
  }

  std::optional<Json> PlaceObject(const Json& value, Matcher& matcher) {
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
      std::ranges::stable_partition(names, [&](const std::string& name) {
        return std::ranges::find(left, name) != left.end();
      });
    }
    return std::nullopt;
  }

  // The list that has most keys of the object, then the one that has most of the others, …; last
  // those that are in none.
  std::vector<std::string> Guess(const Json& object) const {
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
  Json PlaceProperties(const Json& value, std::vector<std::string>& names, Matcher& matcher) {
    Json placed = Json::object();
    for (size_t at = 0; at < names.size();) {
      Matcher next = matcher;
      std::optional<Json> property;
      if (next.AcceptText(fmt::format("{}{}: ", placed.empty() ? "{" : ", ",
                                      PythonJson(Json(names[at]))))) {
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

  std::vector<std::vector<std::string>> lists_;
  int tries_ = 0;
};

struct Verdict {
  bool all_allowed = false;  // every token
  bool accepted = false;     // and the end
};

Result<Verdict> Read(const Json& value, const Matcher& start, const Tokenizer& tokenizer,
                     MaskBenchReport& report) {
  Matcher matcher = start;
  for (const int32_t id : tokenizer.Encode(PythonJson(value), Tokenizer::Markers::kPlain)) {
    const auto begin = std::chrono::steady_clock::now();
    FULMEN_ASSIGN(const auto mask, matcher.Mask());
    const bool allowed = (mask[id / 64] >> (id % 64) & 1) != 0;
    const Status accepted = allowed ? matcher.Accept(id) : Status();
    report.mask_us.push_back(Microseconds(begin));
    ++report.tokens;
    if (!allowed) return Verdict{};
    FULMEN_TRY(accepted);
  }
  return Verdict{.all_allowed = true, .accepted = matcher.CanEnd()};
}

// The last keyword in the place that an error names: "#/a/pattern: …".
std::string KeywordOf(const std::string& message) {
  const std::string place = message.substr(0, message.find(':'));
  return place.substr(place.rfind('/') + 1);
}

Json Percentiles(std::vector<double> values) {
  Json json = Json::object();
  if (values.empty()) return json;
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const auto index = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
    return values[std::max<size_t>(index, 1) - 1];
  };
  json["average"] = std::accumulate(values.begin(), values.end(), 0.0) /
                    static_cast<double>(values.size());
  json["p50"] = at(0.5);
  json["p90"] = at(0.9);
  json["p99"] = at(0.99);
  json["p99.9"] = at(0.999);
  json["max"] = values.back();
  return json;
}

}  // namespace

Status MeasureMasks(const Json& mask_case, const Tokenizer& tokenizer,
                    const std::shared_ptr<const TokenTrie>& tokens, MaskBenchReport& report) {
  if (!mask_case.is_object() || !mask_case.contains("schema") ||
      !Member(mask_case, "tests").is_array()) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected {{\"id\", \"schema\", \"tests\": [{{\"valid\", \"data\"}}]}}, found {}",
                Shown(mask_case));
  }
  const std::string id = Member(mask_case, "id").is_string() ? mask_case["id"].get<std::string>()
                                                             : fmt::format("{}", report.schemas);
  ++report.schemas;
  const auto begin = std::chrono::steady_clock::now();
  auto grammar = std::make_shared<Grammar>();
  std::vector<std::string> left_out;
  Result<Expr> schema =
      AddJsonSchema(*grammar, mask_case["schema"], {.strict = true}, left_out);
  const Status finished = schema ? grammar->Finish(*schema) : Status();
  const bool no_value = !finished && finished.error().code == ErrorCode::kInvalidArgument;
  if (!schema || (!finished && !no_value)) {
    const std::string message = schema ? finished.error().message : schema.error().message;
    ++report.compile_errors;
    ++report.errors[KeywordOf(message)];
    report.failures.push_back(fmt::format("{}: {}", id, message));
    return {};
  }
  std::optional<Matcher> start;
  if (finished) start.emplace(grammar, tokens);
  report.compile_us.push_back(Microseconds(begin));

  bool refused = false;
  bool accepted_invalid = false;
  bool allowed_invalid = false;
  Orderer orderer(mask_case["schema"]);
  for (const Json& test : mask_case["tests"]) {
    const bool valid = Member(test, "valid") == true;
    const Json& data = Member(test, "data");
    Verdict verdict;
    if (start) {
      FULMEN_ASSIGN(verdict, Read(data, *start, tokenizer, report));
    }
    if (start && !verdict.accepted) {
      if (const auto ordered = orderer.Order(data, *start)) {
        FULMEN_ASSIGN(verdict, Read(*ordered, *start, tokenizer, report));
        ++report.reordered;
      }
    }
    refused = refused || (valid && !verdict.accepted);
    accepted_invalid = accepted_invalid || (!valid && verdict.accepted);
    allowed_invalid = allowed_invalid || (!valid && verdict.all_allowed);
  }
  if (refused) {
    ++report.valid_refused;
    report.failures.push_back(fmt::format("{}: a valid instance is refused", id));
  }
  if (accepted_invalid) {
    ++report.invalid_accepted;
    report.failures.push_back(fmt::format("{}: an invalid instance is accepted", id));
  }
  if (allowed_invalid) ++report.invalid_to_the_end;
  if (!refused && !accepted_invalid) ++report.passing;
  return {};
}

Json ToJson(const MaskBenchReport& report) {
  return {{"schemas", report.schemas},
          {"passing", report.passing},
          {"compile_errors", report.compile_errors},
          {"valid_refused", report.valid_refused},
          {"invalid_accepted", report.invalid_accepted},
          {"invalid_allowed_without_end", report.invalid_to_the_end},
          {"reordered", report.reordered},
          {"tokens", report.tokens},
          {"compile_errors_by_keyword", report.errors},
          {"mask_us", Percentiles(report.mask_us)},
          {"compile_us", Percentiles(report.compile_us)}};
}

}  // namespace fulmen
