// fulmen run: answers one prompt, or talks in the terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <random>
#include <utility>

#include "base/console.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/progress.h"
#include "cli/sampling_options.h"
#include "cli/session.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

struct RunOptions {
  SessionOptions session;
  SamplingOptions sampling;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  bool chat = false;
  std::string system;
  bool raw = false;
  std::string chat_format;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stops;
  bool ignore_eos = false;
  bool json = false;
  bool quiet = false;
};

// What an answer is made with when no flag says otherwise: the family's own advice, from the
// README of M1 and the hosted API of Text-01. A text being continued has no natural end, so it gets
// a short length.
struct Defaults {
  double temperature;
  double top_p;
  int64_t max_tokens;
};
Defaults DefaultsFor(std::optional<ChatFormat> format) {
  if (!format) return {1.0, 0.95, 256};
  switch (*format) {
    case ChatFormat::kText01:
    case ChatFormat::kVl01:
      return {0.1, 0.95, 2048};
    case ChatFormat::kM1:
    case ChatFormat::kM1LlamaCpp:
      return {1.0, 0.95, 8192};
  }
  return {};
}

// A stop string of odd bytes may cut a character in two, which JSON cannot hold.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Status CheckOptions(const RunOptions& options) {
  if (options.prompt == "") return Fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (options.chat && options.file == "-") {
    return Fail(ErrorCode::kInvalidArgument,
                "--chat reads standard input itself, so -f cannot be -");
  }
  return options.sampling.Check();
}

Result<std::optional<std::string>> ReadPromptFile(const std::string& file) {
  FULMEN_ASSIGN(std::string text, ReadInput(file));
  if (!text.empty()) return text;
  return Fail(ErrorCode::kInvalidArgument, "{}: the prompt is empty", InputName(file));
}

// The prompt of the command line; nullopt when there is none and the user is to type.
Result<std::optional<std::string>> ReadPrompt(const RunOptions& options) {
  if (options.prompt) return options.prompt;
  if (options.file) return ReadPromptFile(*options.file);
  if (options.chat) return std::nullopt;
  if (isatty(STDIN_FILENO) == 1) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "there is no prompt: give one, as in fulmen run \"What is Fulmen?\", name a file with -f, "
        "pipe it in, or talk with --chat");
  }
  return ReadPromptFile("-");
}

Result<std::optional<ChatFormat>> ChooseFormat(const RunOptions& options,
                                               const Tokenizer& tokenizer) {
  std::optional<ChatFormat> format;
  if (!options.chat_format.empty()) {
    format = ChatFormatFromName(options.chat_format);
  } else if (!options.raw) {
    FULMEN_ASSIGN(format, DetectChatFormat(tokenizer.chat_template()));
  }
  if (!format && !options.system.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--system needs a chat format, and this model has none: name one with "
                "--chat-format");
  }
  return format;
}

// One run of the command: everything is loaded, and turns are answered.
class Runner {
 public:
  Runner(const RunOptions& options, Session& session, const Tokenizer& tokenizer,
         std::optional<ChatFormat> format, double load_seconds)
      : options_(options),
        session_(session),
        tokenizer_(tokenizer),
        format_(format),
        load_seconds_(load_seconds),
        conversation_(session.model, tokenizer, format, options.system) {}

  Status Prepare() {
    const Defaults defaults = DefaultsFor(format_);
    SamplingParams params;
    params.temperature = defaults.temperature;
    params.top_p = defaults.top_p;
    std::random_device entropy;
    params.seed = entropy();
    sampling_ = options_.sampling.Apply(params);
    max_tokens_ = options_.max_tokens.value_or(defaults.max_tokens);
    return {};
  }

  Status AnswerOnce(const std::string& prompt) {
    FULMEN_ASSIGN(const GenerateResult result, Answer(prompt));
    if (options_.json) {
      FULMEN_TRY(Write(Dump(ToJson(result)) + "\n"));
    } else {
      ShowTimings(result);
    }
    if (result.finish_reason == FinishReason::kCancelled) {
      throw ExitWith{InterruptGuard::kExitStatus};
    }
    return {};
  }

  Status Chat(std::optional<std::string> first) {
    LineReader reader;
    if (!options_.quiet) Greet();
    while (true) {
      std::string line;
      if (first) {
        line = *std::exchange(first, std::nullopt);
      } else {
        interrupt_.Clear();
        if (reader.Read("> ", line) != LineReader::Outcome::kLine) {
          if (reader.interactive()) Say("\n");
          return {};
        }
      }
      if (line == "/exit" || line == "/quit") return {};
      if (line == "/help") Greet();
      if (line == "/reset") conversation_.Reset();
      if (line.empty() || line == "/help" || line == "/reset") continue;
      interrupt_.Clear();
      const Result<GenerateResult> result = Answer(line);
      if (result) {
        ShowTimings(*result);
      } else if (reader.interactive() && result.error().code == ErrorCode::kInvalidArgument) {
        Say("fulmen: {} (/reset starts over)\n", result.error().message);
      } else {
        return tl::unexpected<Error>(result.error());
      }
    }
  }

 private:
  // Answers one turn and streams the answer, unless it is to be JSON.
  Result<GenerateResult> Answer(const std::string& message) {
    FULMEN_ASSIGN(GenerateRequest request, conversation_.AddUser(message));
    request.sampling = sampling_;
    request.sampling.seed += static_cast<uint64_t>(turns_);
    request.max_tokens = max_tokens_;
    request.stop_strings = options_.stops;
    if (!options_.ignore_eos) {
      request.stop_tokens = EndTokens(session_.model.config, &tokenizer_, format_.has_value());
    }

    Status written;
    auto progress = std::make_unique<Progress>(options_.quiet ? "" : "reading the prompt",
                                               static_cast<int64_t>(request.prompt.size()));
    int64_t shown = 0;
    GenerateHooks hooks;
    hooks.cancel = &interrupt_.flag();
    hooks.on_prompt_read = [&](int64_t read, int64_t total) {
      if (progress) progress->Add(read - std::exchange(shown, read));
      if (read == total) progress.reset();
    };
    hooks.on_text = [&](std::string_view text) {
      if (options_.json || !written) return;
      written = Write(text);
      if (!written) interrupt_.flag() = true;  // nobody is there to read the rest
    };
    Result<GenerateResult> result =
        Generate(session_.model, &tokenizer_, session_.kernels, session_.context,
                 conversation_.state(), request, hooks);
    progress.reset();
    if (!result) {
      conversation_.Withdraw();
      return result;
    }
    FULMEN_TRY(written);
    if (!options_.json) FULMEN_TRY(Write("\n"));
    conversation_.AddAnswer(request, *result);
    ++turns_;
    return result;
  }

  static Status Write(std::string_view text) {
    PrintText(text);
    return FlushOutput();
  }

  void Greet() const {
    Say("{}\n", format_ ? fmt::format("Chat, in the {} format.", ChatFormatName(*format_))
                        : "This model has no chat format: it continues what you type.");
    Say("/reset starts over, /exit or Ctrl-D leaves, Ctrl-C stops an answer; a line that "
        "ends in \\ goes on in the next.\n");
  }

  void ShowTimings(const GenerateResult& result) const {
    if (options_.quiet) return;
    const GenerateTimings& timings = result.timings;
    const auto rate = [](int64_t tokens, double seconds) {
      return tokens == 0 ? std::string()
                         : fmt::format(" ({:.1f} tokens/s)", static_cast<double>(tokens) / seconds);
    };
    Say("[prompt: {} tokens in {:.2f} s{}; answer: {} tokens in {:.2f} s{}; {}{}]\n",
        timings.prompt_tokens, timings.prompt_seconds,
        rate(timings.prompt_tokens, timings.prompt_seconds), result.ids.size(),
        timings.decode_seconds, rate(timings.decode_tokens, timings.decode_seconds),
        FinishReasonName(result.finish_reason),
        sampling_.temperature > 0 ? fmt::format("; seed {}", sampling_.seed) : "");
  }

  Json ToJson(const GenerateResult& result) const {
    const GenerateTimings& timings = result.timings;
    return {{"text", result.text},
            {"ids", result.ids},
            {"finish_reason", FinishReasonName(result.finish_reason)},
            {"seed", sampling_.seed},
            {"timings",
             {{"load_seconds", load_seconds_},
              {"prompt_tokens", timings.prompt_tokens},
              {"prompt_seconds", timings.prompt_seconds},
              {"decode_tokens", timings.decode_tokens},
              {"decode_seconds", timings.decode_seconds}}}};
  }

  const RunOptions& options_;
  Session& session_;
  const Tokenizer& tokenizer_;
  const std::optional<ChatFormat> format_;
  const double load_seconds_;
  Conversation conversation_;
  SamplingParams sampling_;
  int64_t max_tokens_ = 0;
  int64_t turns_ = 0;
  InterruptGuard interrupt_;
};

Status Run(const RunOptions& options) {
  FULMEN_ASSIGN(const std::optional<std::string> prompt, ReadPrompt(options));

  const auto start = std::chrono::steady_clock::now();
  auto progress = std::make_unique<Progress>(options.quiet ? "" : "loading the model");
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(session->folder));
  FULMEN_ASSIGN(const std::optional<ChatFormat> format, ChooseFormat(options, tokenizer));
  progress.reset();

  Runner runner(options, *session, tokenizer, format, SecondsSince(start));
  FULMEN_TRY(runner.Prepare());
  return options.chat ? runner.Chat(prompt) : runner.AnswerOnce(*prompt);
}

}  // namespace

void AddRunCommand(Command& program) {
  auto options = std::make_shared<RunOptions>();
  Command& command = program.AddCommand("run", "Answer one prompt, or chat in the terminal");
  command.Add("PROMPT", options->prompt, "The prompt, in quotes where it has spaces")
      .Excludes({"--prompt", "--file"});
  AddSessionOptions(command, options->session);
  command.Add("-p,--prompt TEXT", options->prompt, "The prompt, too").Excludes({"--file"});
  command.Add("-f,--file FILE", options->file,
              "A file with the prompt, taken as it is to its last newline; - is standard input, "
              "which is read when there is no prompt");
  command.Add("--chat", options->chat, "Talk: several turns, typed or one per line of input")
      .Excludes({"--json"});
  command.Add("--system TEXT", options->system, "What the model is told before the first turn");
  command
      .Add("--raw", options->raw,
           "Continue the text itself, whatever chat format the model has; markers in it count")
      .Excludes({"--chat-format", "--system"});
  command.Add("--chat-format NAME", options->chat_format, "Format of prompts and answers")
      .Choices(ChatFormatNames())
      .Default("the model's own");
  command.Add("-n,--max-tokens N", options->max_tokens, "Length of an answer at most", {.low = 1})
      .Default("256 for a text, 2048 for text-01 and vl-01, 8192 for m1");
  command.Add("--stop TEXT", options->stops, "End the answer before this text");
  command.Add("--ignore-eos", options->ignore_eos, "Go on where the model would end");
  command.Add("--json", options->json, "Print one JSON object at the end");
  command.Add("-q,--quiet", options->quiet, "No progress, timings and hints");
  AddSamplingOptions(command, options->sampling);
  command.Examples({
      "fulmen run \"What is Fulmen?\"",
      "fulmen run -p \"What is 12 + 7?\" --temperature 0 -n 60",
      "fulmen run -m MiniMax-M1 --chat --system \"You are a patient teacher.\"",
      "fulmen run -f story.txt --temperature 0.8 --seed 1 --stop \"THE END\" --json",
  });
  command.Check([options] { return CheckOptions(*options); });
  command.Run([options] { return Run(*options); });
}

}  // namespace fulmen
