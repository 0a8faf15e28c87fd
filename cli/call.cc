// fulmen call: asks a server that speaks MiniMax's, OpenAI's or Anthropic's API.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/ascii.h"
#include "base/console.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/status.h"
#include "base/utf8.h"
#include "call/request.h"
#include "cli/call_chat.h"
#include "cli/call_session.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/image_files.h"
#include "cli/input.h"
#include "cli/session.h"
#include "images/decode.h"

namespace fulmen {
namespace {

constexpr const char* kLocalUrl = "http://127.0.0.1:8080";

enum ExitStatus {
  kBadUsageStatus = 2,
  kKeyStatus = 3,
  kLimitStatus = 4,
  kCutStatus = 5,
  kSchemaStatus = 6
};

struct CallOptions {
  std::optional<std::string> prompt;
  std::optional<std::string> url;
  std::optional<std::string> api;
  std::optional<std::string> key;
  std::string key_file;
  std::optional<std::string> model;
  std::optional<std::string> system;
  std::vector<std::string> attachments;  // files, addresses of pictures, -
  std::vector<std::string> fields;       // KEY=VALUE
  bool go_on = false;
  bool chat = false;
  std::optional<int64_t> max_tokens;
  std::string schema;
  std::string tools;
  std::string tool_program;
  bool yes = false;
  bool no_stream = false;
  bool json = false;
  std::optional<CallPrice> price;
  int retries = CallRetries().most;
  bool dry_run = false;
  bool quiet = false;
};

std::string KeyInEnvironment(Api api) {
  return std::string(Trimmed(EnvironmentVariable(std::string(ApiKeyVariable(api)))));
}

Status CheckOptions(const CallOptions& options) {
  const auto piped = std::ranges::count(options.attachments, "-") + (options.schema == "-") +
                     (options.tools == "-") + (options.key_file == "-");
  if (piped > 1 || (piped == 1 && options.chat)) {
    return Fail(ErrorCode::kInvalidArgument, "standard input is for one thing");
  }
  return {};
}

// What the server is asked, as far as the command line, the conversation that is continued and the
// environment tell, in this order.
Result<CallTarget> FindTarget(const CallOptions& options, const CallConversation& before) {
  CallTarget target;
  std::optional<Api> api;
  if (options.api) api = ApiFromName(*options.api);
  if (options.url) {
    target.url = *options.url;
  } else if (!before.url.empty()) {
    target.url = before.url;
    if (!api) api = before.api;
  } else {
    for (const Api each : kApis) {
      if ((api && *api != each) || KeyInEnvironment(each).empty()) continue;
      api = each;
      target.url = HostedUrl(each);
      break;
    }
    if (target.url.empty()) target.url = kLocalUrl;
  }
  target.api = api.value_or(GuessApi(target.url));
  if (options.key) {
    target.key = *options.key;
    Say("fulmen: --key shows in the list of processes, to every user of this machine; --key-file "
        "or {} does not\n",
        ApiKeyVariable(target.api));
  } else if (!options.key_file.empty()) {
    FULMEN_ASSIGN(const std::string text, ReadInput(options.key_file));
    target.key = Trimmed(text);
    if (target.key.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "{}: expected a key, found nothing",
                  InputName(options.key_file));
    }
  } else {
    target.key = KeyInEnvironment(target.api);
  }
  if (std::ranges::any_of(target.key, [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) {
    return Fail(ErrorCode::kInvalidArgument,
                "a key should be letters, digits and signs of ASCII, found something else");
  }
  if (!target.key.empty() && target.url.starts_with("http:") && !IsThisMachine(target.url)) {
    Say("fulmen: {} has no TLS: others on the way can read the key\n", target.url);
  }
  return target;
}

Result<Json> ReadFields(const std::vector<std::string>& fields) {
  Json read = Json::object();
  for (const std::string& field : fields) {
    const size_t equals = field.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--option should be KEY=VALUE, as in temperature=0.5, found \"{}\"", field);
    }
    const std::string text = field.substr(equals + 1);
    const Result<Json> value = ParseJson(text, "a value");
    read[field.substr(0, equals)] = value ? *value : Json(text);
  }
  return read;
}

struct Message {
  std::string text;
  std::vector<std::string> images;  // URLs
};

// A picture goes beside the text, any other file into it.
Status Attach(const std::string& what, Message& message) {
  if (what.starts_with("http://") || what.starts_with("https://")) {
    message.images.push_back(what);
    return {};
  }
  FULMEN_ASSIGN(const std::string bytes, ReadInput(what));
  if (!MediaTypeOf(bytes).empty()) {
    message.images.push_back(DataUrl(bytes));
    return {};
  }
  if (!IsUtf8(bytes) || bytes.find('\0') != std::string::npos) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected a picture (PNG, JPEG, WebP, GIF or BMP) or a text in UTF-8, found "
                "neither",
                InputName(what));
  }
  message.text +=
      fmt::format("{}:\n{}{}\n", InputName(what), bytes, bytes.ends_with('\n') ? "" : "\n");
  return {};
}

// Attached texts, then standard input, then the argument.
Result<Message> ReadMessage(const CallOptions& options) {
  Message message;
  for (const std::string& what : options.attachments) FULMEN_TRY(Attach(what, message));
  const bool taken = std::ranges::count(options.attachments, "-") != 0 || options.schema == "-" ||
                     options.tools == "-" || options.key_file == "-";
  if (!options.chat && !taken && isatty(STDIN_FILENO) != 1) {
    FULMEN_ASSIGN(const std::string piped, ReadInput("-"));
    if (!IsUtf8(piped)) {
      return Fail(ErrorCode::kInvalidArgument, "standard input should be a text in UTF-8");
    }
    message.text += piped;
    if (!piped.empty() && options.prompt) message.text += ' ';
  }
  message.text += options.prompt.value_or("");
  return message;
}

Result<CallSessionOptions> MakeSession(const CallOptions& options) {
  CallConversation before;
  if (options.go_on) {
    FULMEN_ASSIGN(before, LoadCallConversation());
  }
  CallSessionOptions session;
  FULMEN_ASSIGN(session.target, FindTarget(options, before));
  session.retries.most = options.retries;
  const bool same = session.target.url == before.url;
  session.model = options.model.value_or(same ? before.model : "");
  session.system = options.system.value_or(before.system);
  session.messages = before.messages;
  if (!options.tools.empty()) {
    FULMEN_ASSIGN(const Json tools, ReadJsonInput(options.tools));
    FULMEN_ASSIGN(session.tools, ReadTools(tools, InputName(options.tools)));
  }
  session.tool_program = options.tool_program;
  session.ask = !options.yes;
  if (!options.schema.empty()) {
    FULMEN_ASSIGN(Json schema, ReadJsonInput(options.schema));
    FULMEN_ASSIGN(session.schema,
                  AnswerSchema::Make(std::move(schema), "--schema " + InputName(options.schema)));
  }
  session.max_tokens = options.max_tokens;
  FULMEN_ASSIGN(session.fields, ReadFields(options.fields));
  session.price = options.price ? options.price : PublishedPrice(session.target.url, session.model);
  session.stream = !options.no_stream;
  session.json = options.json;
  session.quiet = options.quiet;
  return session;
}

// Ends the program as the error asks for, where that is not status 1.
tl::unexpected<Error> End(const CallError& error, const CallSessionOptions& session) {
  if (error.kind == CallError::Kind::kFailed) {
    if (error.error.code == ErrorCode::kUnavailable && session.target.url == kLocalUrl) {
      return Fail(error.error.code, "{} (fulmen serve starts a server there, --url names another)",
                  error.error.message);
    }
    return tl::unexpected<Error>(error.error);
  }
  const bool key = error.kind == CallError::Kind::kKey;
  const std::string hint = key && session.target.key.empty()
                               ? fmt::format(" (no key was sent: {} or --key-file gives one)",
                                             ApiKeyVariable(session.target.api))
                               : "";
  Say("fulmen: {}{}\n", PrintableMessage(error.error), hint);
  throw ExitWith{key ? kKeyStatus : kLimitStatus};
}

Status Run(const CallOptions& options) {
  FULMEN_ASSIGN(const CallSessionOptions made, MakeSession(options));
  FULMEN_ASSIGN(Message message, ReadMessage(options));
  if (!options.chat && message.text.empty() && message.images.empty()) {
    Say("fulmen: there is no prompt: give one, as in fulmen call \"What is Fulmen?\", pipe it in, "
        "or talk with --chat\nTry fulmen call --help\n");
    throw ExitWith{kBadUsageStatus};
  }
  const InterruptGuard interrupt;
  CallSession session(made, interrupt);
  if (options.dry_run) {
    Print("{}\n", DumpJson(session.Shown(message.text, message.images), 2));
    return FlushOutput();
  }
  if (options.chat) {
    std::optional<std::string> first;
    if (!message.text.empty()) first = message.text;
    const auto left =
        CallChat(session, interrupt, std::move(first), std::move(message.images), !options.quiet);
    return left ? Status() : End(left.error(), made);
  }
  const CallResult<Reply> reply = session.Say(message.text, message.images);
  if (!reply) return End(reply.error(), made);
  if (reply->end == Reply::End::kLength) {
    Say("fulmen: the answer was cut: it reached the most tokens it may have (-n)\n");
    throw ExitWith{kCutStatus};
  }
  if (const Status kept = session.CheckSchema(*reply); !kept) {
    Say("fulmen: {}\n", PrintableMessage(kept.error()));
    throw ExitWith{kSchemaStatus};
  }
  return {};
}

void AddServerOptions(Command& command, CallOptions& options) {
  command.Group("Server");
  command
      .Add(
          "--url URL",
          [&options](const std::string& text) -> Status {
            FULMEN_ASSIGN(options.url, CheckUrl(text));
            return {};
          },
          "The server's address, with /v1 or without")
      .Default(
          fmt::format("that of the service whose key is in the environment, else {}", kLocalUrl));
  command.Add("--api NAME", options.api, "The API that it speaks")
      .Choices(ApiNames())
      .Default("by the address or the key, else openai");
  command
      .Add("--key KEY", options.key,
           "The key, which every user of this machine can then see; better in a file or in "
           "MINIMAX_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY")
      .Excludes({"--key-file"});
  command.Add("--key-file FILE", options.key_file, "A file that holds the key");
  command.Add("-m,--model NAME", options.model, "The model, by the server's name for it")
      .Default("the first that the server lists");
  command.Add("--retries N", options.retries,
              "How often a request is tried again, after a longer wait each time, when the server "
              "is busy or fails",
              {.low = 0, .high = 20});
}

void AddToolOptions(Command& command, CallOptions& options) {
  command.Group("Tools");
  command
      .Add("--tools FILE", options.tools,
           "A JSON list of tools that the model may call, in the form of any of the APIs")
      .Needs({"--tool-program"});
  command
      .Add("--tool-program FILE", options.tool_program,
           "The program that runs them, after you agreed: it gets the tool's name as its "
           "argument and the call's as JSON on standard input; what it prints is the result")
      .Needs({"--tools"});
  command.Add("--yes", options.yes, "Run tools without asking").Needs({"--tools"});
}

}  // namespace

void AddCallCommand(Command& program) {
  auto options = std::make_shared<CallOptions>();
  Command& command =
      program.AddCommand("call", "Ask a server that speaks MiniMax's, OpenAI's or Anthropic's API");
  command.Add("PROMPT", options->prompt,
              "What to ask, in quotes where it has spaces; standard input, where something is "
              "piped in, goes before it");
  command.Add("-s,--system TEXT", options->system, "What the model is told before all else");
  command.Add("-a,--attachment FILE", options->attachments,
              "A picture, the http address of one, or a text, which goes before the prompt; - is "
              "standard input");
  command.Add("-c,--continue", options->go_on, "Go on with the conversation of the last call");
  command.Add("--chat", options->chat, "Talk: several turns, typed or one per line of input")
      .Excludes({"--json", "--schema", "--dry-run"});
  command.Add("-n,--max-tokens N", options->max_tokens, "Length of an answer at most", {.low = 1})
      .Default("the server's own; 4096 of the Anthropic API, which has none");
  command.Add("-o,--option KEY=VALUE", options->fields,
              "A further field of the request, as in temperature=0.5; the value is JSON, or else a "
              "text");
  command.Add("--schema FILE", options->schema,
              "Ask for JSON that keeps to the JSON Schema in this file, and check that it does");
  command.Add("--no-stream", options->no_stream, "Get the answer as a whole");
  command.Add("--json", options->json, "Print one JSON object at the end, on one line");
  command.Add(
      "--price IN,OUT",
      [options](const std::string& text) -> Status {
        FULMEN_ASSIGN(options->price, ParseCallPrice(text));
        return {};
      },
      "What a million tokens of prompt and of answer cost, as in 1,8 or 1,8,CNY, to tell the "
      "cost where the server does not");
  command.Add("--dry-run", options->dry_run,
              "Print the request, with the key hidden, and send nothing");
  AddQuietOption(command, options->quiet, "reasoning, usage and cost; warnings stay");
  AddServerOptions(command, *options);
  AddToolOptions(command, *options);
  command.Notes(
      "Exit status: 0 answered, 1 failed, 2 usage, 3 no or a wrong key, 4 no balance or a limit, 5 "
      "the answer was cut, 6 it does not keep to the schema, 130 Ctrl-C, 141 nobody reads on.");
  command.Examples({
      "fulmen call \"What is Fulmen?\"",
      "fulmen call -c \"And what is it for?\"",
      "fulmen call --dry-run --url https://api.minimax.io -m MiniMax-M1 \"What is 12 + 7?\"",
      "fulmen call -s \"Answer in one word.\" -n 20 -o temperature=0 \"Where is Rome?\"",
      "cat README.md | fulmen call --dry-run -m MiniMax-M1 \"What is this about?\"",
      "fulmen call --tools weather.json --tool-program ./weather \"Is it raining in Rome?\"",
  });
  command.Check([options] { return CheckOptions(*options); });
  command.Run([options] { return Run(*options); });
}

}  // namespace fulmen
