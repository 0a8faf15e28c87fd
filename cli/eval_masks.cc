// fulmen eval masks: how well and how fast JSON Schemas constrain answers.
#include <fmt/core.h>

#include <fstream>
#include <memory>
#include <string>

#include "base/console.h"
#include "base/json.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "eval/masks.h"
#include "grammar/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

struct MasksOptions {
  std::string model;
  std::string cases;
  bool json = false;
  bool failures = false;
  bool quiet = false;
};

Status Measure(const MasksOptions& options, const Tokenizer& tokenizer, MaskBenchReport& report) {
  std::ifstream cases(options.cases, std::ios::binary);
  if (!cases) {
    return Fail(ErrorCode::kNotFound, "{}: cannot be opened", Printable(options.cases));
  }
  cases.seekg(0, std::ios::end);
  Progress progress(options.quiet ? "" : "masking", Progress::Bytes{.total = cases.tellg()});
  cases.seekg(0);
  const auto tokens = TokenTrie::Build(tokenizer);
  const InterruptGuard interrupt;
  std::string line;
  for (int64_t number = 1; std::getline(cases, line); ++number) {
    if (interrupt.flag()) {
      return Fail(ErrorCode::kCancelled, "interrupted after {} schemas", report.schemas);
    }
    const std::string where = fmt::format("{}, line {}", options.cases, number);
    FULMEN_ASSIGN(const Json mask_case, ParseJson(line, where));
    if (const Status status = MeasureMasks(mask_case, tokenizer, tokens, report); !status) {
      return Fail(status.error().code, "{}: {}", where, status.error().message);
    }
    progress.Add(static_cast<int64_t>(line.size()) + 1);
  }
  return {};
}

void PrintTimes(const char* what, const Json& times) {
  if (times.empty()) return;
  Print("{:<10} average {:.1f}, p50 {:.1f}, p90 {:.1f}, p99 {:.1f}, p99.9 {:.1f}, max {:.1f} us\n",
        what, times["average"].get<double>(), times["p50"].get<double>(),
        times["p90"].get<double>(), times["p99"].get<double>(), times["p99.9"].get<double>(),
        times["max"].get<double>());
}

Status EvalMasks(const MasksOptions& options) {
  FULMEN_ASSIGN(const std::string path, ModelPath(options.model));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(path));
  MaskBenchReport report;
  FULMEN_TRY(Measure(options, tokenizer, report));
  Json json = ToJson(report);
  if (options.failures) json["failures"] = report.failures;
  if (options.json) {
    Print("{}\n", json.dump());
  } else {
    Print(
        "{} of {} schemas pass: {} do not compile, {} refuse a valid instance, {} accept an "
        "invalid one\n",
        report.passing, report.schemas, report.compile_errors, report.valid_refused,
        report.invalid_accepted);
    for (const auto& [keyword, count] : report.errors) {
      Print("  {} cannot be enforced: {}\n", Printable(keyword), count);
    }
    Print("{} instances put in the grammar's order, {} tokens\n", report.reordered, report.tokens);
    PrintTimes("mask", json["mask_us"]);
    PrintTimes("compile", json["compile_us"]);
    for (const Json& failure : json.value("failures", Json::array())) {
      Print("{}\n", Printable(failure.get<std::string>()));
    }
  }
  return FlushOutput();
}

}  // namespace

void AddEvalMasks(Command& eval) {
  auto options = std::make_shared<MasksOptions>();
  Command& command = eval.AddCommand(
      "masks", "Hold instances of JSON Schemas to masks: what passes, and how long it takes");
  command.Add("-m,--model PATH", options->model, "Model, or a folder that holds only a tokenizer")
      .Default("the embedded model");
  command
      .Add("--cases FILE", options->cases,
           "MaskBench cases, one to a line: {\"id\", \"schema\", \"tests\": [{\"valid\", "
           "\"data\"}]}")
      .Required();
  command.Add("--json", options->json, "Print one object; times in microseconds");
  command.Add("--failures", options->failures, "Name the schemas that do not pass, and why");
  AddQuietOption(command, options->quiet);
  command.Examples({"fulmen eval masks -m models/MiniMax-M1 --cases maskbench.jsonl --json"});
  command.Run([options] { return EvalMasks(*options); });
}

}  // namespace fulmen
