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

// Orders of properties that are tried before an instance counts as refused.
constexpr int kMostTries = 5'000;

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since).count();
}

// The names of properties in the order in which a schema first mentions them.
void RankNames(const Json& schema, std::map<std::string, size_t>& ranks) {
  if (!schema.is_structured()) return;
  for (const auto& [key, value] : schema.items()) {
    if (schema.is_object() && key == "properties" && value.is_object()) {
      for (const auto& [name, property] : value.items()) ranks.try_emplace(name, ranks.size());
    }
  }
  for (const Json& part : schema) RankNames(part, ranks);
}

// Finds the order of properties that a grammar wants. Depth first, each key as soon as it is
// allowed, those first that the schema mentions first.
class Orderer {
 public:
  explicit Orderer(const Json& schema) { RankNames(schema, ranks_); }

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
    std::vector<std::string> names;
    for (const auto& [name, property] : value.items()) names.push_back(name);
    std::ranges::stable_sort(names, {}, [this](const std::string& name) {
      const auto rank = ranks_.find(name);
      return rank == ranks_.end() ? ranks_.size() : rank->second;
    });
    Json placed = Json::object();
    if (!PlaceProperties(value, std::move(names), placed, matcher)) return std::nullopt;
    return placed;
  }

  bool PlaceProperties(const Json& value, std::vector<std::string> names, Json& placed,
                       Matcher& matcher) {
    if (names.empty()) return matcher.AcceptText("}").has_value();
    for (size_t at = 0; at < names.size(); ++at) {
      Matcher next = matcher;
      const std::string before = placed.empty() ? "{" : ", ";
      if (!next.AcceptText(before + PythonJson(Json(names[at])) + ": ")) continue;
      auto property = Place(value[names[at]], next);
      if (tries_ > kMostTries) return false;
      if (!property) continue;
      Json more = placed;
      more[names[at]] = *std::move(property);
      std::vector<std::string> rest = names;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
      if (!PlaceProperties(value, std::move(rest), more, next)) continue;
      placed = std::move(more);
      matcher = next;
      return true;
    }
    return false;
  }

  std::map<std::string, size_t> ranks_;
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
