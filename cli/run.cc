// fulmen run: answers one prompt, or talks in the terminal.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>

#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/format_options.h"
#include "cli/image_files.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/responder.h"
#include "cli/sampling_options.h"
#include "cli/saved_sessions.h"
#include "cli/session.h"
#include "cli/session_keeper.h"
#include "engine/generate.h"
#include "engine/model_identity.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

struct RunOptions {
  SessionOptions session;
  SamplingOptions sampling;
  FormatOptions format;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::vector<std::string> images;  // files
  bool chat = false;
  std::string system;
  bool raw = false;
  std::string chat_format;
  std::optional<std::string> session_name;
  std::string sessions;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stops;
  bool ignore_eos = false;
  bool json = false;
  bool pretty = false;
  bool verbose = false;
  bool quiet = false;
};

Status CheckOptions(const RunOptions& options) {
  if (options.prompt == "") return Fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (options.chat && options.file == "-") {
    return Fail(ErrorCode::kInvalidArgument,
                "--chat reads standard input itself, so -f cannot be -");
  }
  const auto stdin_images = std::ranges::count(options.images, "-");
  if (stdin_images > 1 || (stdin_images == 1 && (options.chat || !options.prompt))) {
    return Fail(ErrorCode::kInvalidArgument,
                "standard input is for one thing: --image - needs the prompt on the command line");
  }
  if (options.format.schema == "-" || options.format.grammar == "-") {
    return Fail(ErrorCode::kInvalidArgument,
                "standard input is for the prompt, so --schema and --grammar cannot be -");
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
    const auto detected = DetectChatFormat(tokenizer.chat_template());
    if (!detected) {
      return Fail(detected.error().code, "{}, or continue plain text with --raw",
                  detected.error().message);
    }
    format = *detected;
  }
  if (!format && !options.system.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--system needs a chat format, and this model has none: name one with "
                "--chat-format");
  }
  return format;
}

// Everything the flags, the model and the format say of an answer.
AnswerOptions ChooseAnswer(const RunOptions& options, std::optional<ChatFormat> format,
                           const GenerationConfig& advice) {
  AnswerDefaults defaults = DefaultsFor(advice, format);
  std::random_device entropy;
  defaults.sampling.seed = entropy();
  AnswerOptions answer;
  answer.sampling = options.sampling.Apply(defaults.sampling);
  answer.max_tokens = options.max_tokens.value_or(defaults.max_tokens);
  answer.stops = options.stops;
  answer.ignore_eos = options.ignore_eos;
  answer.several_turns = options.chat;
  answer.stream = !options.json;
  answer.progress = !options.quiet;
  return answer;
}

Json ToJson(const GenerateResult& result, uint64_t seed, double load_seconds,
            size_t repacked_bytes) {
  Json json = {{"text", result.text},
               {"ids", result.ids},
               {"finish_reason", FinishReasonName(result.finish_reason)},
               {"seed", seed},
               {"repacked_bytes", repacked_bytes},
               {"timings",
                {{"load_seconds", load_seconds},
                 {"prompt_tokens", result.usage.prompt_tokens - result.usage.cached_tokens},
                 {"prompt_seconds", result.timings.prompt_seconds},
                 {"decode_tokens", std::max<int64_t>(0, result.usage.output_tokens - 1)},
                 {"decode_seconds", result.timings.decode_seconds}}}};
  if (!result.reasoning.empty()) json["reasoning"] = result.reasoning;
  return json;
}

// As data URLs.
Result<std::vector<std::string>> ReadImages(const std::vector<std::string>& files,
                                            const Model& model) {
  if (!files.empty() && !model.config.vision) {
    return Fail(ErrorCode::kUnsupported, "--image: the model reads text alone, and no pictures");
  }
  std::vector<std::string> images;
  for (const std::string& file : files) {
    FULMEN_ASSIGN(images.emplace_back(), ImageUrlOfFile(file));
  }
  return images;
}

Status Run(const RunOptions& options) {
  FULMEN_ASSIGN(const std::optional<std::string> prompt, ReadPrompt(options));

  const auto start = Clock::now();
  auto progress = std::make_unique<Progress>(options.quiet ? "" : "loading the model");
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(session->files));
  FULMEN_ASSIGN(std::optional<ChatFormat> format, ChooseFormat(options, tokenizer));
  FULMEN_ASSIGN(std::vector<std::string> images, ReadImages(options.images, session->model));
  std::optional<SessionKeeper> keeper;
  if (options.session_name) {
    FULMEN_ASSIGN(keeper,
                  SessionKeeper::Open(options.sessions,
                                      {.name = *options.session_name,
                                       .model = ModelIdentity(session->model),
                                       .format = format,
                                       .format_asked = options.raw || !options.chat_format.empty(),
                                       .system = options.system}));
    format = keeper->session().format;
  }
  AnswerOptions answer = ChooseAnswer(options, format, session->model.generation);
  FULMEN_ASSIGN(
      answer.grammar,
      options.format.Make(format ? AnswerFormatOf(*format, /*tools=*/false) : AnswerFormat(),
                          options.quiet));
  progress.reset();
  RepackIfWanted(*session, options.session, options.quiet);
  const double load_seconds = SecondsSince(start);

  const InterruptGuard interrupt;
  const std::shared_ptr<const ImageReader> reader = ImageReaderFor(session->model);
  FULMEN_ASSIGN(
      Conversation conversation,
      keeper ? Conversation::Resume(tokenizer, keeper->session(), reader)
             : Result<Conversation>(Conversation(tokenizer, format, options.system, reader)));
  Responder responder(*session, tokenizer, interrupt, format, std::move(conversation), answer,
                      keeper ? &*keeper : nullptr);
  if (options.chat) {
    FULMEN_ASSIGN(const ChatEnd end,
                  Chat(responder, interrupt, prompt, std::move(images),
                       {.raw = options.raw, .hints = !options.quiet, .timings = options.verbose}));
    if (end == ChatEnd::kInterrupted) throw ExitWith{InterruptGuard::ExitStatus()};
    return {};
  }
  FULMEN_ASSIGN(const GenerateResult result, responder.Answer(*prompt, images));
  if (options.json) {
    Print("{}\n",
          DumpJson(ToJson(result, answer.sampling.seed, load_seconds, session->repacked_bytes),
                   options.pretty ? 2 : -1));
  }
  if (options.verbose) Say("{}\n", responder.TimingLine(result));
  FULMEN_TRY(FlushOutput());
  if (result.finish_reason == FinishReason::kCancelled) {
    throw ExitWith{InterruptGuard::ExitStatus()};
  }
  return {};
}

}  // namespace

void AddRunCommand(Command& program) {
  auto options = std::make_shared<RunOptions>();
  Command& command = program.AddCommand("run", "Answer one prompt, or chat in the terminal");
  command.Add("PROMPT", options->prompt, "The prompt, in quotes where it has spaces")
      .Excludes({"--prompt", "--file"});
  AddSessionOptions(command, options->session);
  AddMmprojOption(command, options->session.mmproj);
  AddRepackOption(command, options->session);
  AddKvTypeOption(command, options->session);
  command.Add("-p,--prompt TEXT", options->prompt, "The prompt, too").Excludes({"--file"});
  command.Add("-f,--file FILE", options->file,
              "A file with the prompt, taken as it is to its last newline; - is standard input, "
              "which is read when there is no prompt");
  command.Add("--image FILE", options->images,
              "A picture to look at (PNG, JPEG, WebP, GIF, BMP), before the prompt; may be given "
              "several times, in order; - is standard input");
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
  command.Add("--session NAME", options->session_name,
              "Keep the conversation under this name, and go on with it where there is one");
  AddSessionsOption(command, options->sessions).Needs({"--session"});
  command.Add("-n,--max-tokens N", options->max_tokens, "Length of an answer at most", {.low = 1})
      .Default("256 for a text, 2048 for text-01 and vl-01, 8192 for m1");
  command.Add("--stop TEXT", options->stops, "End the answer before this text");
  command.Add("--ignore-eos", options->ignore_eos, "Go on where the model would end");
  command.Add("--json", options->json, "Print one JSON object at the end, on one line");
  command.Add("--pretty", options->pretty, "Indent the JSON, on many lines").Needs({"--json"});
  command.Add("--verbose", options->verbose, "Tell tokens, times and the seed of each answer");
  AddQuietOption(command, options->quiet, "progress and no hints");
  AddFormatOptions(command, options->format);
  AddSamplingOptions(command, options->sampling);
  command.Examples({
      "fulmen run \"What is Fulmen?\"",
      "fulmen run -p \"What is 12 + 7?\" --temperature 0 -n 60",
      "fulmen run -m MiniMax-VL-01 --image photo.jpg \"What is in the picture?\"",
      "fulmen run -m MiniMax-M1 --chat --system \"You are a patient teacher.\"",
      "fulmen run --session trip \"I leave for Lisbon on Tuesday.\"",
      "fulmen run \"Tom lives in Rome. Where does Tom live?\" --schema /tmp/answer.json --compact",
      "fulmen run \"What is 12 + 7?\" --regex \"[0-9]{1,3}\"",
      "fulmen run \"Is Rome a city?\" --grammar /tmp/yes-or-no.gbnf",
      "fulmen run -f story.txt --temperature 0.8 --seed 1 --stop \"THE END\" --json",
  });
  command.Check([options] { return CheckOptions(*options); });
  command.Run([options] { return Run(*options); });
}

}  // namespace fulmen
