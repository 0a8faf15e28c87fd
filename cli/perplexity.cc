// fulmen eval perplexity: of a text, and how far a model's predictions are from another's.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/text_tokens.h"
#include "eval/divergence.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

constexpr int64_t kDefaultContext = 2048;

struct PerplexityOptions {
  SessionOptions session;
  std::string text;
  std::string against;  // path of a model
  std::optional<int64_t> context;
  bool json = false;
  bool quiet = false;
};

Json ToJson(const Perplexity& result, double seconds) {
  return {{"perplexity", result.perplexity},
          {"tokens", result.tokens},
          {"scored", result.scored},
          {"seconds", seconds}};
}

void PrintPerplexity(const PerplexityOptions& options, const Perplexity& result, int64_t context,
                     double seconds) {
  if (options.json) {
    Print("{}\n", ToJson(result, seconds).dump());
    return;
  }
  Print("perplexity {:.4f} over {} scored of {} tokens, windows of {}, {:.1f} s\n",
        result.perplexity, result.scored, result.tokens, context, seconds);
}

void PrintDivergence(const PerplexityOptions& options, const Divergence& result, int64_t context,
                     double seconds) {
  if (options.json) {
    Json json = ToJson(result.model, seconds);
    json["against"] = {{"perplexity", result.reference_perplexity},
                       {"kl_mean", result.mean},
                       {"kl_median", result.median},
                       {"kl_99", result.percentile_99},
                       {"kl_largest", result.largest},
                       {"same_first", result.same_first}};
    Print("{}\n", json.dump());
    return;
  }
  PrintPerplexity(options, result.model, context, seconds);
  Print("against {}: perplexity {:.4f}\n", options.against, result.reference_perplexity);
  Print("  KL divergence  mean {:.6f}, median {:.6f}, 99 % below {:.6f}, largest {:.6f}\n",
        result.mean, result.median, result.percentile_99, result.largest);
  Print("  same token expected most: {:.2f} %\n", 100 * result.same_first);
}

// The model that `model` is compared with, whose tokens have to mean the same.
Result<Model> OpenReference(const PerplexityOptions& options, const Model& model,
                            std::span<const int32_t> ids) {
  FULMEN_ASSIGN(const ModelFiles files, OpenModelFiles(options.against));
  FULMEN_ASSIGN(Model reference, LoadModel(files));
  if (reference.config.vocab_size != model.config.vocab_size) {
    return Fail(ErrorCode::kInvalidArgument,
                "--against {}: expected a model of the same vocabulary, found {} tokens beside {}",
                options.against, reference.config.vocab_size, model.config.vocab_size);
  }
  if (options.text == "-") return reference;  // read once already
  FULMEN_ASSIGN(const std::vector<int32_t> others,
                ReadTextTokens(options.text, files, reference.config));
  if (std::ranges::equal(others, ids)) return reference;
  return Fail(ErrorCode::kInvalidArgument,
              "--against {}: its tokenizer splits {} into other tokens, so the two cannot be "
              "compared",
              options.against, InputName(options.text));
}

Status EvalPerplexity(const PerplexityOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  const Model& model = session->model;
  const int64_t most = model.config.max_position;
  const int64_t context = options.context.value_or(std::min(kDefaultContext, most));
  if (context > most) {
    return Fail(ErrorCode::kInvalidArgument, "--context {} exceeds the model's context limit of {}",
                context, most);
  }
  FULMEN_ASSIGN(const std::vector<int32_t> ids,
                ReadTextTokens(options.text, session->files, model.config));
  std::optional<Model> reference;
  if (!options.against.empty()) {
    FULMEN_ASSIGN(reference, OpenReference(options, model, ids));
  }
  const auto start = Clock::now();
  const InterruptGuard interrupt;
  auto progress =
      std::make_unique<Progress>(options.quiet ? "" : "measuring perplexity", std::ssize(ids));
  const WindowedText text = {.ids = ids,
                             .window = context,
                             .progress = [&](int64_t tokens) { progress->Add(tokens); },
                             .cancel = &interrupt.flag()};
  int64_t read = 0;
  if (reference) {
    FULMEN_ASSIGN(const Divergence result, MeasureDivergence({model, session->kv_type},
                                                             {*reference}, session->compute, text));
    progress.reset();
    PrintDivergence(options, result, context, SecondsSince(start));
    read = result.model.tokens;
  } else {
    FULMEN_ASSIGN(const Perplexity result,
                  MeasurePerplexity({model, session->kv_type}, session->compute, text));
    progress.reset();
    PrintPerplexity(options, result, context, SecondsSince(start));
    read = result.tokens;
  }
  FULMEN_TRY(FlushOutput());
  if (read == std::ssize(ids)) return {};
  return Fail(ErrorCode::kCancelled, "interrupted after {} of {} tokens", read, ids.size());
}

}  // namespace

void AddEvalPerplexity(Command& eval) {
  auto options = std::make_shared<PerplexityOptions>();
  Command& command = eval.AddCommand("perplexity", "Measure the perplexity of a text");
  AddSessionOptions(command, options->session);
  AddKvTypeOption(command, options->session);
  command.Add("-f,--file FILE", options->text, "The text; - is standard input").Required();
  command
      .Add("--context N", options->context,
           "Window in tokens; windows do not overlap and begin with an empty state",
           {2, int64_t{1} << 31})
      .Default(fmt::format("{}, or the model's limit where that is lower", kDefaultContext));
  command
      .Add("--against MODEL", options->against,
           "Also how far the predictions are from those of this model, say the one that was "
           "quantized")
      .Completes(Completion::kFiles);
  command.Add("--json", options->json, "Print the figures as one JSON object");
  AddQuietOption(command, options->quiet);
  command.Examples({"fulmen eval perplexity -f README.md --context 512",
                    "fulmen eval perplexity -f README.md --against models/fulmen-nano"});
  command.Run([options] { return EvalPerplexity(*options); });
}

}  // namespace fulmen
