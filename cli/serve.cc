// fulmen serve: models over HTTP.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "base/console.h"
#include "base/file_io.h"
#include "base/status.h"
#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/saved_sessions.h"
#include "cli/serve_log.h"
#include "cli/session.h"
#include "cli/signal_pipe.h"
#include "engine/model_identity.h"
#include "serve/http_text.h"
#include "serve/image_fetch.h"
#include "serve/image_url.h"
#include "serve/script.h"
#include "serve/server.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

struct ServeOptions {
  SessionOptions session;
  std::vector<std::string> models;   // PATH or NAME=PATH
  std::vector<std::string> aliases;  // ALIAS=NAME
  std::string chat_format;
  std::optional<int64_t> max_tokens;
  SchedulerOptions scheduler;
  int64_t most_waiting = EngineOptions().most_waiting;
  std::string sessions;
  bool no_sessions = false;
  std::string spill_folder;
  double spill_gigabytes = 20;
  std::string script;
  ImageFetchRules image_fetch;
  DecodeLimits images;
  HttpServerOptions http;
  int port = 8080;
  std::vector<std::string> keys;
  std::string key_file;
  bool anyone = false;
  std::string accounts;
  std::string accounts_journal;
  double answer_seconds = 0;
  double drain_seconds = 30;
  std::string log = "text";
  bool quiet = false;
};

// A model's own name: that of its folder or file.
std::string NameOf(const std::string& path) {
  const std::filesystem::path lexical = std::filesystem::path(path + "/.").lexically_normal();
  const std::filesystem::path name = lexical.parent_path().filename();
  return name.extension() == ".gguf" ? name.stem().string() : name.string();
}

std::pair<std::string, std::string> SplitName(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

bool IsLoopback(const std::string& address) {
  in_addr numbers{};
  return address == "localhost" || address == "::1" ||
         (address.starts_with("127.") && inet_pton(AF_INET, address.c_str(), &numbers) == 1);
}

// What could be no client's or no page's would never be asked for.
Status CheckNeighbours(const HttpServerOptions& http) {
  for (const std::string& host : http.allowed_hosts) {
    if (host != "*" && !ParseAuthority(host)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--allow-host should be a name, as models.example or models.example:8080, found "
                  "\"{}\"",
                  host);
    }
  }
  for (const std::string& origin : http.cors_origins) {
    const size_t scheme = origin.find("://");
    if (origin != "*" && (scheme == std::string::npos || scheme == 0 ||
                          !ParseAuthority(std::string_view(origin).substr(scheme + 3)))) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--cors-origin should be as https://chat.example, without a path, found \"{}\"",
                  origin);
    }
  }
  return {};
}

Status CheckOptions(const ServeOptions& options) {
  if (options.http.tls_certificate.empty() != options.http.tls_key.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--tls-certificate and --tls-key are of use together only");
  }
  const bool keys = !options.keys.empty() || !options.key_file.empty() || !options.accounts.empty();
  if (!IsLoopback(options.http.address) && !keys && !options.anyone) {
    return Fail(ErrorCode::kInvalidArgument,
                "--host {} lets other machines in, and without keys everybody on them may ask: "
                "give keys with --api-key-file or --accounts, or say --anyone",
                options.http.address);
  }
  if (!options.session.mmproj.empty() && options.models.size() > 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "--mmproj belongs to one model, found {}; of several each has mmproj-NAME.gguf "
                "beside its NAME.gguf",
                options.models.size());
  }
  if (std::ranges::find(options.keys, "") != options.keys.end()) {
    return Fail(ErrorCode::kInvalidArgument, "--api-key is empty");
  }
  for (const std::string& alias : options.aliases) {
    if (SplitName(alias).first.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "--alias should be ALIAS=NAME, found \"{}\"", alias);
    }
  }
  for (const std::string& host : options.image_fetch.hosts) {
    const Status good = CheckImageHost(host);
    if (!good) return Fail(good.error().code, "--image-host: {}", good.error().message);
  }
  return CheckNeighbours(options.http);
}

// Those of the options, and each line of the file that has one.
Result<std::vector<std::string>> ReadKeys(const ServeOptions& options) {
  std::vector<std::string> keys = options.keys;
  if (options.key_file.empty()) return keys;
  FULMEN_ASSIGN(const std::string text, ReadFile(options.key_file));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    keys.push_back(line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin));
  }
  if (keys.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: a key is expected on a line, found none",
                options.key_file);
  }
  return keys;
}

// Responses are kept beside the sessions.
Result<std::unique_ptr<ResponseStore>> OpenResponses(const ServeOptions& options) {
  FULMEN_ASSIGN(const std::string sessions, SessionsPath(options.sessions));
  const std::filesystem::path path = sessions;
  auto store = ResponseStore::Open(path.parent_path() / (path.stem().string() + "-responses.db"));
  if (store || store.error().code != ErrorCode::kUnavailable) return store;
  Say("fulmen: {}; this server stores no responses\n", store.error().message);
  return nullptr;
}

// A model in memory, and what is told of it to the server.
struct Loaded {
  std::unique_ptr<Session> session;
  std::unique_ptr<ServedModel> served;
};

Result<Loaded> Load(const ServeOptions& options, const std::string& named,
                    const std::shared_ptr<const Script>& script) {
  auto [name, path] = SplitName(named);
  SessionOptions session_options = options.session;
  session_options.model = path;
  auto progress = std::make_unique<Progress>(options.quiet ? "" : "loading the model");
  Loaded loaded;
  FULMEN_ASSIGN(loaded.session, OpenSession(session_options));
  Session& session = *loaded.session;
  FULMEN_ASSIGN(Tokenizer tokenizer, Tokenizer::Load(session.files));
  ServedModel::Options served;
  if (!options.chat_format.empty()) {
    served.format = ChatFormatFromName(options.chat_format);
  } else if (const auto detected = DetectChatFormat(tokenizer.chat_template())) {
    served.format = *detected;
  } else {
    Say("fulmen: {}; chats with it are refused, texts are continued\n", detected.error().message);
  }
  progress.reset();
  RepackIfWanted(session, session_options, options.quiet);
  served.name = name.empty() ? NameOf(session.files.path()) : name;
  for (const std::string& alias : options.aliases) {
    const auto [other, of] = SplitName(alias);
    if (of == served.name) served.aliases.push_back(other);
  }
  served.max_tokens = options.max_tokens;
  served.script = script;
  ImageFetchRules rules = options.image_fetch;
  rules.most_bytes = static_cast<size_t>(options.images.bytes);
  served.images = ImageReaderFor(
      session.model, options.images,
      [rules](const std::string& url) -> Result<std::string> { return FetchImage(url, rules); });
  const auto models = static_cast<int64_t>(std::max<size_t>(1, options.models.size()));
  served.engine = EngineOptionsFor(session, /*keep=*/true, models);
  served.engine.scheduler = options.scheduler;
  served.engine.most_waiting = options.most_waiting;
  served.engine.model_identity = ModelIdentity(session.model);
  served.engine.spill_folder = options.spill_folder;
  served.engine.spill_bytes = static_cast<int64_t>(options.spill_gigabytes * 1e9);
  loaded.served = std::make_unique<ServedModel>(session.model, std::move(tokenizer),
                                                session.compute, std::move(served));
  if (const Status& spill = loaded.served->engine().spill_status(); !spill) {
    Say("fulmen: {}; what was read stays in memory only\n", spill.error().message);
  }
  return loaded;
}

// Every model can be asked for under all of its names, and every alias is one of them.
Status CheckNames(const ServeOptions& options,
                  const std::vector<std::unique_ptr<ServedModel>>& models) {
  std::set<std::string> own;
  for (const auto& model : models) own.insert(model->name());
  for (const std::string& alias : options.aliases) {
    if (const std::string name = SplitName(alias).second; !own.contains(name)) {
      return Fail(ErrorCode::kInvalidArgument, "--alias {}: there is no model {}, but {}", alias,
                  name, fmt::join(own, ", "));
    }
  }
  std::set<std::string> all;
  for (const auto& model : models) {
    std::vector<std::string> names = model->aliases();
    names.push_back(model->name());
    for (const std::string& name : names) {
      if (!all.insert(name).second) {
        return Fail(ErrorCode::kInvalidArgument, "two models have the name {}", name);
      }
    }
  }
  return {};
}

// What to type first.
void Greet(const ServeOptions& options, const std::string& model, uint16_t port, bool keys) {
  const std::string& address = options.http.address;
  const std::string host =
      address.find(':') == std::string::npos ? address : fmt::format("[{}]", address);
  const std::string url = fmt::format(
      "{}://{}:{}", options.http.tls_certificate.empty() ? "http" : "https", host, port);
  Say("{} answers at {}\n\n"
      "  curl {}/v1/chat/completions{} \\\n"
      "    -d '{{\"messages\": [{{\"role\": \"user\", \"content\": \"What is Fulmen?\"}}]}}'\n\n",
      model, url, url, keys ? " -H \"Authorization: Bearer $KEY\"" : "");
}

// Serves until a signal asks for the end, and then until all under way is done. The second signal
// cuts that short.
void ServeUntilSignal(Server& server, SignalPipe& signals, const ServeOptions& options) {
  std::array<int, 2> ended{};  // its reading end is at an end once the server is
  if (pipe2(ended.data(), O_CLOEXEC) != 0) return;
  std::thread io([&] {
    pthread_setname_np(pthread_self(), "io");  // as `top -H` shows it
    server.Run();
    close(ended[1]);
  });
  if (signals.Wait(ended[0]) != 0) {
    if (!options.quiet) Say("fulmen: finishing what is under way\n");
    server.Drain(options.drain_seconds);
    if (signals.Wait(ended[0]) != 0) server.Drain(0);
  }
  io.join();
  close(ended[0]);
}

Status Serve(const ServeOptions& options) {
  FULMEN_ASSIGN(const std::vector<std::string> keys, ReadKeys(options));
  std::shared_ptr<const Script> script;
  if (!options.script.empty()) {
    FULMEN_ASSIGN(Script read, Script::Read(options.script));
    script = std::make_shared<const Script>(std::move(read));
  }
  std::unique_ptr<SessionStore> store;
  if (!options.no_sessions) {
    FULMEN_ASSIGN(store, OpenSessions(options.sessions));
  }
  std::unique_ptr<ResponseStore> responses;
  if (!options.no_sessions) {
    FULMEN_ASSIGN(responses, OpenResponses(options));
  }
  std::unique_ptr<Ledger> ledger;
  if (!options.accounts.empty()) {
    std::string journal;
    if (IsServerDatabase(options.accounts)) {
      FULMEN_ASSIGN(journal, JournalPath(options.accounts_journal));
    }
    FULMEN_ASSIGN(ledger, OpenLedger(options.accounts, journal));
  }
  std::vector<std::string> named = options.models;
  if (named.empty()) named.emplace_back();
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<ServedModel>> models;
  for (const std::string& each : named) {
    FULMEN_ASSIGN(Loaded loaded, Load(options, each, script));
    sessions.push_back(std::move(loaded.session));
    models.push_back(std::move(loaded.served));
  }
  FULMEN_TRY(CheckNames(options, models));
  const std::string first = models.front()->name();
  if (ledger) {
    std::vector<std::string> names;
    for (const auto& model : models) names.push_back(model->name());
    FULMEN_TRY(PrepareForServer(*ledger, names));
  }
  ServerOptions server_options;
  server_options.http = options.http;
  server_options.http.port = static_cast<uint16_t>(options.port);
  server_options.ledger = ledger.get();
  server_options.keys = keys;
  server_options.answering.seconds = options.answer_seconds;
  server_options.version = FULMEN_VERSION;
  if (options.log != "none") {
    server_options.log = [&options](const HttpRecord& record) { LogExchange(options.log, record); };
  }
  FULMEN_ASSIGN(
      const std::unique_ptr<Server> server,
      Server::Listen(std::move(models), store.get(), responses.get(), std::move(server_options)));
  SignalPipe signals({SIGINT, SIGTERM, SIGHUP});  // before anybody can know that it serves
  if (!options.quiet) Greet(options, first, server->port(), !keys.empty() || ledger);
  ServeUntilSignal(*server, signals, options);
  return {};
}

void AddNetworkOptions(Command& command, ServeOptions& options) {
  HttpServerOptions& http = options.http;
  command.Group("Network");
  command.Add("--host ADDRESS", http.address, "Address to listen on; 0.0.0.0 is every one")
      .Default("127.0.0.1, this machine alone");
  command.Add("--port N", options.port, "Port to listen on; 0 takes one that is free",
              {.low = 0, .high = 65535});
  command.Add("--api-key KEY", options.keys,
              "A key that clients must show; other users of this machine can see it here, so "
              "better use a file");
  command.Add("--api-key-file FILE", options.key_file, "A file with keys, one a line")
      .Completes(Completion::kFiles);
  AddAccountsOption(command, options.accounts).Excludes({"--api-key", "--api-key-file"});
  command
      .Add("--accounts-journal FILE", options.accounts_journal,
           "How requests end while PostgreSQL is away; each server has its own")
      .Default("fulmen/accounts.journal in $XDG_STATE_HOME or in ~/.local/state")
      .Needs({"--accounts"});
  command.Add("--anyone", options.anyone, "Serve other machines without keys")
      .Excludes({"--api-key", "--api-key-file", "--accounts"});
  command.Add("--allow-host NAME", http.allowed_hosts,
              "A name that clients may call this server by, as a proxy's; * is any");
  command.Add("--cors-origin ORIGIN", http.cors_origins,
              "A web page that may ask without a key, as https://chat.example");
  command.Add("--tls-certificate FILE", http.tls_certificate, "Certificate chain, in PEM")
      .Completes(Completion::kFiles);
  command.Add("--tls-key FILE", http.tls_key, "Its private key, in PEM")
      .Completes(Completion::kFiles);
  command.Add("--most-connections N", http.most_connections, "Connections at one time", {.low = 1});
  command.Add("--body-limit BYTES", http.body_limit, "Size of a request", {.low = 1});
  command.Add("--drain-seconds S", options.drain_seconds,
              "Time for what is under way when the server is told to end", {.low = 0.0});
}

void AddLogOption(Command& command, ServeOptions& options) {
  command.Add("--log FORMAT", options.log, "A line on standard error for each request")
      .Choices({"text", "json", "none"})
      .Default("text");
}

void AddAnswerOptions(Command& command, ServeOptions& options) {
  command.Group("Answers");
  command.Add("--chat-format NAME", options.chat_format, "Format of prompts and answers")
      .Choices(ChatFormatNames())
      .Default("each model's own");
  command
      .Add("-n,--max-tokens N", options.max_tokens,
           "Length of an answer at most, where a request does not say", {.low = 1})
      .Default("what is left of the context");
  command.Add("--answer-seconds S", options.answer_seconds, "Time an answer may take", {.low = 0.0})
      .Default("0, as long as it likes");
  command.Add("--most-running N", options.scheduler.most_running, "Answers at one time, per model",
              {.low = 1});
  command.Add("--most-waiting N", options.most_waiting,
              "Answers that may wait; more are refused until there is room", {.low = 1});
  command
      .Add(
          "--script FILE", options.script,
          "Answers for tests, in place of the model's: lines of {\"when\": TEXT, \"answer\": TEXT}")
      .Completes(Completion::kFiles);
}

void AddImageOptions(Command& command, ServeOptions& options) {
  command.Group("Images");
  command
      .Add("--image-host NAME", options.image_fetch.hosts,
           "A host that images are fetched from where a request names their URL, as "
           "images.example, *.images.example or images.example:8443; * is any. Addresses that are "
           "not public are refused all the same")
      .Default("none: images come inside of requests");
  command
      .Add("--image-private-addresses", options.image_fetch.private_addresses,
           "Fetch from addresses of this machine and its own network, too")
      .Needs({"--image-host"});
  command.Add("--image-bytes N", options.images.bytes, "Size of an image's file at most",
              {1, int64_t{1} << 30});
  command.Add("--image-pixels N", options.images.pixels,
              "Size of an image at most; decoding holds up to 14 bytes for each pixel",
              {1, int64_t{1} << 30});
}

void AddMemoryOptions(Command& command, ServeOptions& options) {
  command.Group("Memory");
  AddKvTypeOption(command, options.session);
  AddRepackOption(command, options.session);
  AddSessionsOption(command, options.sessions);
  command.Add("--no-sessions", options.no_sessions, "Keep no conversations and no answers")
      .Excludes({"--sessions"});
  command
      .Add("--cache FOLDER", options.spill_folder,
           "Keep what was read on disk as well, for after a restart")
      .Completes(Completion::kFiles);
  command
      .Add("--cache-size GB", options.spill_gigabytes, "Size of that folder at most", {.low = 0.0})
      .Needs({"--cache"});
}

}  // namespace

void AddServeCommand(Command& program) {
  auto options = std::make_shared<ServeOptions>();
  Command& command = program.AddCommand(
      "serve", "Serve models over HTTP, in the APIs of OpenAI, Anthropic and MiniMax");
  command
      .Add("-m,--model MODEL", options->models,
           "A model: a folder or a .gguf file, or NAME=PATH to call it by another name; several "
           "times for several")
      .Completes(Completion::kFiles)
      .Default("$FULMEN_MODEL, else the model that comes with Fulmen");
  AddMmprojOption(command, options->session.mmproj);
  command.Add("--alias ALIAS=NAME", options->aliases, "Another name for a model");
  AddKernelsOption(command, options->session.kernels);
  AddThreadsOption(command, options->session.threads);
  AddQuietOption(command, options->quiet, "progress and no greeting");
  AddLogOption(command, *options);
  command.AddConfigFile();
  AddNetworkOptions(command, *options);
  AddAnswerOptions(command, *options);
  AddImageOptions(command, *options);
  AddMemoryOptions(command, *options);
  command.Notes(
      "A page to chat in, with a dashboard, is at the same address: http://127.0.0.1:8080/");
  command.Examples({
      "fulmen serve",
      "fulmen serve -m MiniMax-M1.gguf --alias gpt-4o=MiniMax-M1 --port 8000",
      "fulmen serve --config dist/fulmen.toml",
  });
  command.Check([options] { return CheckOptions(*options); });
  command.Run([options] { return Serve(*options); });
}

}  // namespace fulmen
