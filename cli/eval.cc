// fulmen eval: logits, and greedy or sampled continuations, of given tokens.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/sampling_options.h"
#include "cli/session.h"
#include "engine/generate.h"
#include "eval/logits.h"
#include "eval/prompts.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

struct EvalOptions {
  SessionOptions session;
  std::string tokens;  // path of the ids
  bool json = false;
  bool quiet = false;
  // logits
  std::string out;
  LogitsOptions logits;
  // generate
  SamplingOptions sampling;
  int64_t count = 16;
  bool stop_at_eos = false;
};

Result<std::vector<NamedPrompt>> ReadPrompts(const std::string& path, const Config& config) {
  FULMEN_ASSIGN(const Json json, ReadJsonInput(path));
  return ParsePrompts(json, config, InputName(path));
}

int64_t TotalTokens(const std::vector<NamedPrompt>& prompts) {
  int64_t total = 0;
  for (const NamedPrompt& prompt : prompts) total += static_cast<int64_t>(prompt.ids.size());
  return total;
}

Status EvalLogits(const EvalOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const std::vector<NamedPrompt> prompts,
                ReadPrompts(options.tokens, session->model.config));
  const InterruptGuard interrupt;
  Progress progress(options.quiet ? "" : "computing logits", TotalTokens(prompts));
  int64_t done = 0;
  const auto add = [&](int64_t tokens) {
    done += tokens;
    progress.Add(tokens);
  };
  LogitsOptions logits = options.logits;
  logits.kv_type = session->kv_type;
  Status status = WriteLogits(session->model, session->compute, prompts, logits, options.out, add,
                              &interrupt.flag());
  if (status || status.error().code != ErrorCode::kCancelled) return status;
  return Fail(ErrorCode::kCancelled, "interrupted after {} of {} tokens; {} was not written", done,
              TotalTokens(prompts), options.out);
}

// The ids that end a text, from the config and, where the folder has one, the tokenizer.
Result<std::vector<int32_t>> EndOfText(const Session& session) {
  Result<Tokenizer> tokenizer = Tokenizer::Load(session.files);
  if (!tokenizer && tokenizer.error().code != ErrorCode::kNotFound) {
    return tl::unexpected<Error>(tokenizer.error());
  }
  return EndTokens(session.model, tokenizer ? &*tokenizer : nullptr, /*chat=*/false);
}

struct Continuations {
  Json ids = Json::object();  // by name
  std::string notes;          // a line for each that ended before its time
  bool cancelled = false;     // then the last is not whole, and others may lack
};

// Continues every prompt, with the rest of `request`.
Result<Continuations> Continue(Session& session, const std::vector<NamedPrompt>& prompts,
                               Request request, const InterruptGuard& interrupt, bool quiet) {
  const auto count = static_cast<int64_t>(prompts.size());
  Progress progress(quiet ? "" : "generating", TotalTokens(prompts) + count * request.max_tokens);
  Engine engine(session.model, nullptr, session.compute, EngineOptionsFor(session, false));
  Continuations continuations;
  for (const NamedPrompt& prompt : prompts) {
    request.prompt = prompt.ids;
    request.images = prompt.images;
    int64_t prompt_read = 0;
    GenerateHooks hooks;
    hooks.on_prompt_read = [&](const PromptProgress& read) {
      progress.Add(read.read - std::exchange(prompt_read, read.read));
    };
    hooks.on_token = [&] { progress.Add(1); };
    hooks.cancel = &interrupt.flag();
    FULMEN_ASSIGN(const GenerateResult result, Generate(engine, request, hooks));
    const auto found = static_cast<int64_t>(result.ids.size());
    progress.Add(request.max_tokens - found);
    continuations.ids[prompt.name] = result.ids;
    continuations.cancelled = result.finish_reason == FinishReason::kCancelled;
    if (continuations.cancelled) break;
    if (result.finish_reason == FinishReason::kContext) {
      continuations.notes += fmt::format(
          "{}: stopped after {} of {} tokens, at the model's context limit of {}\n",
          Printable(prompt.name), found, request.max_tokens, session.model.config.max_position);
    }
  }
  return continuations;
}

Status EvalGenerate(const EvalOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const std::vector<NamedPrompt> prompts,
                ReadPrompts(options.tokens, session->model.config));
  Request request;
  request.sampling = options.sampling.Apply({});
  request.max_tokens = options.count;
  if (options.stop_at_eos) {
    FULMEN_ASSIGN(request.stop_tokens, EndOfText(*session));
  }
  const InterruptGuard interrupt;
  FULMEN_ASSIGN(const Continuations continuations,
                Continue(*session, prompts, request, interrupt, options.quiet));
  if (options.json) {
    Print("{}\n", continuations.ids.dump());
  } else {
    for (const auto& [name, ids] : continuations.ids.items()) {
      Print("{}: {}\n", Printable(name), fmt::join(ids.get<std::vector<int32_t>>(), " "));
    }
  }
  FULMEN_TRY(FlushOutput());
  SayText(continuations.notes);
  if (!continuations.cancelled) return {};
  return Fail(ErrorCode::kCancelled, "interrupted in continuation {} of {}",
              continuations.ids.size(), prompts.size());
}

void AddTokensOption(Command& command, std::string& tokens) {
  command
      .Add("--tokens FILE", tokens,
           "JSON: a list of ids, or {NAME: ids}, where for ids may stand {\"ids\": ids, "
           "\"images\": [FILE, ...]} with one image token for each image; - is standard input")
      .Required();
}

void AddLogits(Command& eval) {
  auto options = std::make_shared<EvalOptions>();
  Command& command = eval.AddCommand("logits", "Write the logits of given tokens as safetensors");
  AddSessionOptions(command, options->session);
  AddMmprojOption(command, options->session.mmproj);
  AddKvTypeOption(command, options->session);
  AddTokensOption(command, options->tokens);
  command
      .Add("--out FILE", options->out,
           "File to write: NAME.logits [T, vocab] and what is asked below")
      .Required();
  command.Add("--chunk N", options->logits.chunk, "Tokens per forward call", {1, 1 << 20});
  command
      .Add("--last N", options->logits.last, "Logits of this many last positions only",
           {1, int64_t{1} << 31})
      .Default("all positions");
  command.Add("--hidden", options->logits.hidden, "Also NAME.hidden [layers + 1, T, hidden]");
  command.Add("--state", options->logits.state, "Also NAME.state.L [heads, head_dim, head_dim]");
  command.Add("--experts", options->logits.experts,
              "Also NAME.experts and NAME.expert_weights [layers, T, k]");
  AddQuietOption(command, options->quiet);
  command.Examples(
      {"echo \"[1, 2, 3]\" | fulmen eval logits --tokens - --out /tmp/logits.safetensors --last "
       "1"});
  command.Run([options] { return EvalLogits(*options); });
}

void AddGenerate(Command& eval) {
  auto options = std::make_shared<EvalOptions>();
  Command& command =
      eval.AddCommand("generate", "Continue given tokens, greedily unless sampling is asked for");
  AddSessionOptions(command, options->session);
  AddMmprojOption(command, options->session.mmproj);
  AddKvTypeOption(command, options->session);
  AddTokensOption(command, options->tokens);
  command.Add("-n,--max-tokens N", options->count, "New tokens per prompt", {1, int64_t{1} << 31});
  command.Add("--json", options->json, "Print {NAME: [new ids]}");
  command.Add("--stop-at-eos", options->stop_at_eos,
              "End at an end-of-text token, which is not part of the result");
  AddQuietOption(command, options->quiet);
  AddSamplingOptions(command, options->sampling);
  command.Examples(
      {"fulmen tokenize --json \"What is Fulmen?\" | fulmen eval generate --tokens - "
       "-n 32 --json"});
  command.Check([options] { return options->sampling.Check(); });
  command.Run([options] { return EvalGenerate(*options); });
}

}  // namespace

void AddEvalCommand(Command& program) {
  Command& eval =
      program.AddCommand("eval", "Measure a model: logits, continuations, perplexity, masks");
  AddLogits(eval);
  AddGenerate(eval);
  AddEvalPerplexity(eval);
  AddEvalMasks(eval);
  eval.Examples({"fulmen eval perplexity -f README.md --context 512 --json"});
}

}  // namespace fulmen
