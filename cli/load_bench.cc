#include "cli/load_bench.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "base/random.h"
#include "base/units.h"
#include "cli/format_options.h"
#include "cli/progress.h"
#include "engine/engine.h"
#include "grammar/grammar.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

// Seconds of one kind, e.g. of all gaps between two tokens.
class Distribution {
 public:
  void Add(double seconds) { seconds_.push_back(seconds); }
  // The smallest value that `share` of all do not exceed; 0 of none.
  double At(double share) const {
    if (seconds_.empty()) return 0;
    std::vector<double> sorted = seconds_;
    std::ranges::sort(sorted);
    const auto rank = std::ceil(share * static_cast<double>(sorted.size()));
    return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  }
  Json ToJson() const {
    return {{"count", seconds_.size()},
            {"p50", At(0.5)},
            {"p90", At(0.9)},
            {"p99", At(0.99)},
            {"max", At(1)}};
  }
  void PrintLine(const char* label) const {
    Print("{:<16}{:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}\n", label, 1e3 * At(0.5), 1e3 * At(0.9),
          1e3 * At(0.99), 1e3 * At(1));
  }

 private:
  std::vector<double> seconds_;
};

class InventedLoad {
 public:
  InventedLoad(Session& session, const LoadSettings& settings, const Tokenizer* tokenizer,
               std::shared_ptr<const Grammar> grammar)
      : settings_(settings),
        vocab_(session.model.config.vocab_size),
        grammar_(std::move(grammar)),
        engine_(session.model, tokenizer, session.compute, EngineOptionsFor(session, true)),
        random_(settings.seed),
        wanted_(settings.requests.value_or(4 * settings.clients)) {
    shared_ = RandomIds(settings.shared);
  }

  Status Run() {
    FULMEN_TRY(WarmUp());
    before_ = engine_.stats();
    start_ = Clock::now();
    Progress progress(settings_.quiet ? "" : "answering requests", wanted_);
    if (settings_.rate) {
      for (double at = 0; std::ssize(coming_) < wanted_; at += Exponential(1 / *settings_.rate)) {
        Come(NewClient(), at);
      }
    } else {
      for (int64_t i = 0; i < std::min(settings_.clients, wanted_); ++i) Come(NewClient(), 0);
    }
    int64_t shown = 0;
    while (done_ < wanted_) {
      const double now = SecondsSince(start_);
      for (; !coming_.empty() && coming_.front().at <= now; coming_.pop_front()) {
        FULMEN_TRY(Ask(coming_.front().client));
      }
      if (!engine_.Step() && !coming_.empty()) {
        std::this_thread::sleep_for(std::chrono::duration<double>(
            std::max(0.0, coming_.front().at - SecondsSince(start_))));
      }
      most_page_bytes_ = std::max(most_page_bytes_, engine_.stats().page_bytes);
      most_state_bytes_ = std::max(most_state_bytes_, engine_.stats().state_bytes);
      progress.Add(done_ - std::exchange(shown, done_));
    }
    seconds_ = SecondsSince(start_);
    return {};
  }

  void PrintAll() const {
    Print("{}, prompts of {} tokens, {} of them shared, answers of {}, {} turn{}, seed {}\n",
          settings_.rate ? fmt::format("{} requests per second", *settings_.rate)
                         : fmt::format("{} clients", settings_.clients),
          fmt::join(settings_.prompts, " or "), settings_.shared,
          fmt::join(settings_.generated, " or "), settings_.turns, settings_.turns == 1 ? "" : "s",
          settings_.seed);
    Print("{} requests in {:.2f} s: {:.1f} tokens/s generated, {:.1f} tokens/s of prompts\n",
          wanted_, seconds_, Rate(output_tokens_), Rate(prompt_tokens_));
    Print(
        "reused {} of {} prompt tokens ({:.1f} %); {} snapshots kept, {} evicted, {} answers put "
        "aside for want of memory\n",
        cached_tokens_, prompt_tokens_, Percent(cached_tokens_, prompt_tokens_),
        engine_.stats().snapshots, engine_.stats().evictions - before_.evictions,
        engine_.stats().suspensions - before_.suspensions);
    Print("memory at most  keys and values {}, states {}\n", HumanBytes(most_page_bytes_),
          HumanBytes(most_state_bytes_));
    Print("\n{:<16}{:>9} {:>9} {:>9} {:>9}\n", "milliseconds", "median", "90 %", "99 %", "most");
    first_tokens_.PrintLine("first token");
    gaps_.PrintLine("gap");
    answers_.PrintLine("whole answer");
  }

  Json ToJson() const {
    const EngineStats stats = engine_.stats();
    Json misses;
    for (size_t cause = 0; cause < stats.misses.size(); ++cause) {
      misses[std::string(MissCauseName(static_cast<MissCause>(cause)))] =
          stats.misses[cause] - before_.misses[cause];
    }
    Json json = {{"requests", wanted_},
                 {"prompt_lengths", settings_.prompts},
                 {"answer_lengths", settings_.generated},
                 {"shared", settings_.shared},
                 {"turns", settings_.turns},
                 {"seed", settings_.seed},
                 {"seconds", seconds_},
                 {"output_tokens", output_tokens_},
                 {"output_tokens_per_second", Rate(output_tokens_)},
                 {"prompt_tokens", prompt_tokens_},
                 {"cached_tokens", cached_tokens_},
                 {"lookups", misses},
                 {"first_token_seconds", first_tokens_.ToJson()},
                 {"gap_seconds", gaps_.ToJson()},
                 {"answer_seconds", answers_.ToJson()},
                 {"snapshots", stats.snapshots},
                 {"evictions", stats.evictions - before_.evictions},
                 {"suspensions", stats.suspensions - before_.suspensions},
                 {"most_kv_bytes", most_page_bytes_},
                 {"most_state_bytes", most_state_bytes_}};
    if (!settings_.schema.empty()) json["schema"] = settings_.schema;
    if (settings_.think_seconds > 0) json["think"] = settings_.think_seconds;
    if (settings_.rate) {
      json["rate"] = *settings_.rate;
    } else {
      json["clients"] = settings_.clients;
    }
    return json;
  }

 private:
  struct Client {
    std::vector<int32_t> said;  // tokens of the conversation so far
    int64_t turns = 0;          // left
    // Of the request under way.
    double asked = 0;
    double last_token = -1;
  };
  struct Coming {
    double at;
    Client* client;
  };

  double Rate(int64_t tokens) const { return static_cast<double>(tokens) / seconds_; }
  static double Percent(int64_t part, int64_t whole) {
    return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
  }
  double Exponential(double mean) { return -mean * std::log1p(-random_.Uniform()); }
  int64_t OneOf(const std::vector<int64_t>& values) {
    return values[random_.Next() % values.size()];
  }
  std::vector<int32_t> RandomIds(int64_t count) {
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(random_.Next() % static_cast<uint64_t>(vocab_));
    }
    return ids;
  }

  // Weights come into memory, and the engine learns what its steps take.
  Status WarmUp() {
    Request request;
    request.prompt = RandomIds(std::ranges::max(settings_.prompts));
    request.max_tokens = 4;
    request.space = "warm-up";
    Status status;
    FULMEN_TRY(engine_.Submit(request, [&status](RequestId, const Event& event) {
      if (const auto* done = std::get_if<RequestDone>(&event)) status = done->status;
    }));
    while (engine_.Step()) {
    }
    return status;
  }

  Client* NewClient() {
    clients_.push_back({shared_, settings_.turns});
    return &clients_.back();
  }
  void Come(Client* client, double at) {
    const auto after = std::ranges::upper_bound(coming_, at, {}, &Coming::at);
    coming_.insert(after, {at, client});
  }

  Status Ask(Client* client) {
    if (asked_ == wanted_) return {};
    ++asked_;
    // What is shared counts as part of the first prompt.
    const int64_t length = OneOf(settings_.prompts);
    const int64_t fresh =
        client->turns == settings_.turns ? std::max<int64_t>(1, length - settings_.shared) : length;
    const std::vector<int32_t> more = RandomIds(fresh);
    client->said.insert(client->said.end(), more.begin(), more.end());
    client->asked = SecondsSince(start_);
    client->last_token = -1;
    Request request;
    request.prompt = client->said;
    request.borders = {settings_.shared};
    request.max_tokens = OneOf(settings_.generated);
    request.grammar = grammar_;
    request.key = std::to_string(client - &clients_.front());
    const auto id = engine_.Submit(
        request, [this, client](RequestId, const Event& event) { Hear(*client, event); });
    return id ? Status() : tl::unexpected<Error>(id.error());
  }

  void Hear(Client& client, const Event& event) {
    const double now = SecondsSince(start_);
    if (std::holds_alternative<TokenSampled>(event)) {
      if (client.last_token < 0) {
        first_tokens_.Add(now - client.asked);
      } else {
        gaps_.Add(now - client.last_token);
      }
      client.last_token = now;
    } else if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
      client.said.insert(client.said.end(), finished->ids.begin(), finished->ids.end());
    } else if (const auto* done = std::get_if<RequestDone>(&event)) {
      answers_.Add(now - client.asked);
      prompt_tokens_ += done->usage.prompt_tokens;
      cached_tokens_ += done->usage.cached_tokens;
      output_tokens_ += done->usage.output_tokens;
      ++done_;
      if (settings_.rate && client.turns == 1) return;
      Client* next = --client.turns > 0 ? &client : NewClient();
      Come(next, now + Exponential(settings_.think_seconds));
    }
  }

  const LoadSettings& settings_;
  int64_t vocab_;
  std::shared_ptr<const Grammar> grammar_;  // of the answers; may be null
  Engine engine_;
  RandomStream random_;
  int64_t wanted_;
  std::vector<int32_t> shared_;
  std::deque<Client> clients_;  // that never move
  std::deque<Coming> coming_;   // in order of time
  Clock::time_point start_;
  EngineStats before_;
  int64_t asked_ = 0;
  int64_t done_ = 0;
  double seconds_ = 0;
  int64_t prompt_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  int64_t output_tokens_ = 0;
  int64_t most_page_bytes_ = 0;
  int64_t most_state_bytes_ = 0;
  Distribution first_tokens_;
  Distribution gaps_;
  Distribution answers_;
};

}  // namespace

void AddLoadOptions(Command& command, LoadSettings& settings, bool& load) {
  command.Group("Load");
  command
      .Add("--load", load,
           "Measure the engine under an invented load: requests with one of the lengths of -p "
           "and -n each")
      .Excludes({"--depths", "--batch", "--repetitions", "--profile"});
  command
      .Add("--clients N", settings.clients, "Clients that ask again when they have their answer",
           {1, 100'000})
      .Needs({"--load"});
  command
      .Add("--rate R", settings.rate,
           "Requests per second instead, from new clients at random times (a Poisson process)",
           {.low = 1e-3, .high = 1e6})
      .Needs({"--load"})
      .Excludes({"--clients"});
  command.Add("--requests N", settings.requests, "Requests in all", {1, 10'000'000})
      .Needs({"--load"})
      .Default("four for each client");
  command
      .Add("--shared N", settings.shared, "The first N tokens of all prompts are the same",
           {.low = 0})
      .Needs({"--load"});
  command
      .Add("--turns N", settings.turns,
           "Turns of a conversation: the prompt of each holds what was said before", {1, 100'000})
      .Needs({"--load"});
  command
      .Add("--think S", settings.think_seconds,
           "Seconds between an answer and its client's next request, on average", {0, 1e6})
      .Needs({"--load"});
  command.Add("--schema FILE", settings.schema, "Hold all answers to this JSON Schema")
      .Needs({"--load"});
  command.Add("--seed N", settings.seed, "Other tokens, lengths and times").Needs({"--load"});
}

Status BenchLoad(Session& session, const LoadSettings& settings) {
  const Config& config = session.model.config;
  const int64_t longest =
      settings.turns * (std::ranges::max(settings.prompts) + std::ranges::max(settings.generated));
  if (longest > config.max_position) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} turns of {} prompt and {} new tokens do not fit the context limit of {}",
                settings.turns, std::ranges::max(settings.prompts),
                std::ranges::max(settings.generated), config.max_position);
  }
  std::optional<Tokenizer> tokenizer;
  std::shared_ptr<const Grammar> grammar;
  if (!settings.schema.empty()) {
    FULMEN_ASSIGN(tokenizer, Tokenizer::Load(session.files));
    const FormatOptions format{
        .schema = settings.schema, .compact = false, .regex = {}, .grammar = {}};
    FULMEN_ASSIGN(grammar, format.Make({}, settings.quiet));
  }
  InventedLoad load(session, settings, tokenizer ? &*tokenizer : nullptr, grammar);
  FULMEN_TRY(load.Run());
  if (settings.json) {
    Json json = load.ToJson();
    json["model"] = session.files.path();
    json["kernels"] = session.kernels.name;
    json["threads"] = session.pool.size();
    json["kv_type"] = DTypeName(session.kv_type);
    Print("{}\n", json.dump());
  } else {
    load.PrintAll();
  }
  return {};
}

}  // namespace fulmen
