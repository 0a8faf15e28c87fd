// fulmen eval: logits, greedy or sampled continuations of given tokens, perplexity.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "base/console.h"
#include "base/file_io.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/sampling_options.h"
#include "cli/session.h"
#include "engine/generate.h"
#include "eval/logits.h"
#include "eval/perplexity.h"
#include "eval/prompts.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

constexpr int64_t kDefaultContext = 2048;

struct EvalOptions {
  SessionOptions session;
  std::string tokens;  // path of the ids
  bool json = false;
  // logits
  std::string out;
  LogitsOptions logits;
  // generate
  SamplingOptions sampling;
  int64_t count = 16;
  bool stop_at_eos = false;
  // perplexity
  std::string text;
  int64_t context = 0;  // 0: kDefaultContext, or the model's limit where that is lower
};

Result<std::vector<NamedIds>> ReadPrompts(const std::string& path, const Config& config) {
  FULMEN_ASSIGN(const Json json, ReadJsonFile(path));
  return ParsePrompts(json, config, path);
}

int64_t TotalTokens(const std::vector<NamedIds>& prompts) {
  int64_t total = 0;
  for (const NamedIds& prompt : prompts) total += static_cast<int64_t>(prompt.ids.size());
  return total;
}

Status EvalLogits(const EvalOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const std::vector<NamedIds> prompts,
                ReadPrompts(options.tokens, session->model.config));
  Progress progress("computing logits", TotalTokens(prompts));
  return WriteLogits(session->model, session->kernels, session->context, prompts, options.logits,
                     options.out, [&](int64_t tokens) { progress.Add(tokens); });
}

// The ids that end a text, from the config and, where the folder has one, the tokenizer.
Result<std::vector<int32_t>> EndOfText(const Session& session) {
  Result<Tokenizer> tokenizer = Tokenizer::Load(session.folder);
  if (!tokenizer && tokenizer.error().code != ErrorCode::kNotFound) {
    return tl::unexpected<Error>(tokenizer.error());
  }
  return EndTokens(session.model.config, tokenizer ? &*tokenizer : nullptr, /*chat=*/false);
}

Status EvalGenerate(const EvalOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const std::vector<NamedIds> prompts,
                ReadPrompts(options.tokens, session->model.config));
  GenerateRequest request;
  FULMEN_ASSIGN(request.sampling, options.sampling.Apply({}));
  request.max_tokens = options.count;
  if (options.stop_at_eos) {
    FULMEN_ASSIGN(request.stop_tokens, EndOfText(*session));
  }
  Progress progress("generating", static_cast<int64_t>(prompts.size()) * options.count);
  Json continuations = Json::object();
  for (const NamedIds& prompt : prompts) {
    request.prompt = prompt.ids;
    SequenceState state(session->model.config);
    FULMEN_ASSIGN(const GenerateResult result, Generate(session->model, nullptr, session->kernels,
                                                        session->context, state, request));
    progress.Add(options.count);
    continuations[prompt.name] = result.ids;
  }
  if (options.json) {
    Print("{}\n", continuations.dump());
    return {};
  }
  for (const auto& [name, ids] : continuations.items()) {
    Print("{}: {}\n", name, fmt::join(ids.get<std::vector<int32_t>>(), " "));
  }
  return {};
}

Status EvalPerplexity(const EvalOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(session->folder));
  const Config& config = session->model.config;
  if (options.context > config.max_position) {
    return Fail(ErrorCode::kInvalidArgument, "--context {} exceeds the model's context limit of {}",
                options.context, config.max_position);
  }
  const int64_t context =
      options.context > 0 ? options.context : std::min(kDefaultContext, config.max_position);
  FULMEN_ASSIGN(const std::string text, ReadFile(options.text));
  const std::vector<int32_t> ids = tokenizer.Encode(text, Tokenizer::Markers::kPlain);
  for (const int32_t id : ids) {
    if (id >= config.vocab_size) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: token id {} of the tokenizer is outside the model's "
                  "vocabulary of {}",
                  options.text, id, config.vocab_size);
    }
  }
  const auto start = std::chrono::steady_clock::now();
  Progress progress("measuring perplexity", static_cast<int64_t>(ids.size()));
  FULMEN_ASSIGN(const Perplexity result,
                MeasurePerplexity(session->model, session->kernels, session->context, ids, context,
                                  [&](int64_t tokens) { progress.Add(tokens); }));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json) {
    Print("{}\n", Json{{"perplexity", result.perplexity},
                       {"tokens", result.tokens},
                       {"scored", result.scored},
                       {"seconds", seconds}}
                      .dump());
  } else {
    Print("perplexity {:.4f} over {} scored of {} tokens, windows of {}, {:.1f} s\n",
          result.perplexity, result.scored, result.tokens, context, seconds);
  }
  return {};
}

void AddLogits(CLI::App& eval) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      eval.add_subcommand("logits", "Write the logits of given tokens as safetensors");
  AddSessionOptions(*command, options->session);
  command->add_option("--tokens", options->tokens, "JSON: a list of ids, or {NAME: ids}")
      ->required();
  command
      ->add_option("--out", options->out,
                   "File to write: NAME.logits [T, vocab] and what is asked below")
      ->required();
  command->add_option("--chunk", options->logits.chunk, "Tokens per forward call (default 512)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command->add_option("--last", options->logits.last, "Logits of this many last positions only")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  command->add_flag("--hidden", options->logits.hidden, "Also NAME.hidden [layers + 1, T, hidden]");
  command->add_flag("--state", options->logits.state,
                    "Also NAME.state.L [heads, head_dim, head_dim]");
  command->add_flag("--experts", options->logits.experts,
                    "Also NAME.experts and NAME.expert_weights [layers, T, k]");
  command->footer(
      "Example: fulmen eval logits -m MODEL --tokens ids.json --out logits.safetensors --last 1");
  command->callback([options] { RunOrExit([&] { return EvalLogits(*options); }); });
}

void AddGenerate(CLI::App& eval) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = eval.add_subcommand(
      "generate", "Continue given tokens, greedily unless sampling is asked for");
  AddSessionOptions(*command, options->session);
  command->add_option("--tokens", options->tokens, "JSON: a list of ids, or {NAME: ids}")
      ->required();
  command->add_option("-n", options->count, "New tokens per prompt (default 16)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  command->add_flag("--json", options->json, "Print {NAME: [new ids]}");
  command->add_flag("--stop-at-eos", options->stop_at_eos,
                    "End at an end-of-text token, which is not part of the result");
  AddSamplingOptions(*command, options->sampling);
  command->footer("Example: fulmen eval generate -m MODEL --tokens ids.json -n 32 --json");
  command->callback([options] { RunOrExit([&] { return EvalGenerate(*options); }); });
}

void AddPerplexity(CLI::App& eval) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = eval.add_subcommand("perplexity", "Measure the perplexity of a text");
  AddSessionOptions(*command, options->session);
  command->add_option("-f,--file", options->text, "The text")->required();
  command
      ->add_option(
          "--context", options->context,
          "Window in tokens; windows do not overlap and begin with an empty state (default 2048)")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 31));
  command->add_flag("--json", options->json,
                    "Print perplexity, tokens, scored and seconds as JSON");
  command->footer("Example: fulmen eval perplexity -f book.txt --context 512");
  command->callback([options] { RunOrExit([&] { return EvalPerplexity(*options); }); });
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Measure a model: logits, continuations, perplexity");
  eval->require_subcommand(1);
  AddLogits(*eval);
  AddGenerate(*eval);
  AddPerplexity(*eval);
  eval->footer("Example: fulmen eval perplexity -f book.txt --context 512 --json");
}

}  // namespace fulmen
