#include "eval/masks.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "eval/instance_order.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "tokenizer/python_json.h"

namespace fulmen {
namespace {

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since)
      .count();
}

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

// The last keyword in the place that an error names: "#/a/pattern: …". Only sizes have no place.
std::string KeywordOf(const std::string& message) {
  if (message[0] != '#') return "size";
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
  json["average"] =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
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
  Result<Expr> schema = AddJsonSchema(*grammar, mask_case["schema"], {.strict = true}, left_out);
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
  InstanceOrder order(mask_case["schema"]);
  for (const Json& test : mask_case["tests"]) {
    const bool valid = Member(test, "valid") == true;
    const Json& data = Member(test, "data");
    Verdict verdict;
    if (start) {
      FULMEN_ASSIGN(verdict, Read(data, *start, tokenizer, report));
    }
    if (start && !verdict.accepted) {
      if (const auto ordered = order.Find(data, *start)) {
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
