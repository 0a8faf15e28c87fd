// What the engine promises those who share it, measured on a model. Times are ratios to those of
// the same run with nothing else going on.
//
// serving_bench stall MODEL [LONG [STREAMS [KV-TYPE]]]: streams and short prompts while a long one
// is read
//
// serving_bench cache MODEL [LENGTH [KV-TYPE]]: what is reused of a prompt, and what that saves
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "model/repack.h"
#include "model/weights.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;

template <class T>
T Must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "serving_bench: {}\n", result.error().message);
  std::exit(1);
}

struct Machine {
  Machine(const std::string& path, DType kv)
      : kv_type(kv), model(Must(LoadModel(path))), compute(*Must(SelectKernels("")), context) {
    RepackWeights(model, compute, [](size_t) {});
  }
  // Memory for a hundred states and prompts of `tokens` in all.
  EngineOptions Options(int64_t tokens, bool keep = true) const {
    const StatePool states(model.config, {.kv_type = kv_type});
    EngineOptions options;
    options.memory.kv_type = kv_type;
    options.memory.most_slot_bytes = 100 * states.slot_bytes();
    options.memory.most_page_bytes = states.PagesOf(tokens) * states.page_bytes();
    options.keep = keep;
    return options;
  }
  Ids RandomIds(int64_t count) {
    Ids ids;
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(
          static_cast<int32_t>(random() % static_cast<uint64_t>(model.config.vocab_size)));
    }
    return ids;
  }

  DType kv_type;
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  Model model;
  Compute compute;
  std::mt19937_64 random{1};
};

// One request and what was heard of it, in seconds of one clock.
struct Asked {
  double at = 0;
  double first = -1;
  double last = -1;
  std::vector<double> gaps;
  Ids ids;
  Usage usage;
  bool done = false;

  void Ask(Engine& engine, const Ids& prompt, int64_t max_tokens) {
    Request request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    at = Now();
    Must(engine.Submit(request, [this](RequestId, const Event& event) { Hear(event); }));
  }
  double first_token() const { return first - at; }

 private:
  static double Now() {
    static const Clock::time_point start = Clock::now();
    return SecondsSince(start);
  }
  void Hear(const Event& event) {
    const double now = Now();
    if (std::holds_alternative<TokenSampled>(event)) {
      if (first < 0) {
        first = now;
      } else {
        gaps.push_back(now - last);
      }
      last = now;
    } else if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
      ids = finished->ids;
    } else if (const auto* end = std::get_if<RequestDone>(&event)) {
      usage = end->usage;
      done = true;
    }
  }
};

double Quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values.at(static_cast<size_t>(share * static_cast<double>(values.size() - 1)));
}

double FirstToken(Machine& machine, Engine& engine, int64_t tokens) {
  Asked asked;
  asked.Ask(engine, machine.RandomIds(tokens), 1);
  while (engine.Step()) {
  }
  return asked.first_token();
}

// As on a server that has run for a while: weights are in memory, and states take the place of
// others instead of fresh memory, whose first touch takes longer than all else on many machines.
void FillMemory(Machine& machine, Engine& engine, int64_t length) {
  while (engine.stats().evictions == 0) FirstToken(machine, engine, length);
}

// Streams under way, whose gaps are looked at in parts.
class Streams {
 public:
  Streams(Machine& machine, Engine& engine, int64_t count) : engine_(engine), streams_(count) {
    for (Asked& stream : streams_) {
      stream.Ask(engine, machine.RandomIds(64), machine.model.config.max_position / 2);
    }
  }

  // The gaps since the last call, of each stream.
  std::vector<std::vector<double>> Gaps() {
    std::vector<std::vector<double>> all;
    for (Asked& stream : streams_) all.push_back(std::exchange(stream.gaps, {}));
    return all;
  }
  // The median gap of the next hundred steps with nothing else to do.
  double IdleGap() {
    Gaps();
    for (int i = 0; i < 100; ++i) engine_.Step();
    std::vector<double> all;
    for (const std::vector<double>& gaps : Gaps()) all.insert(all.end(), gaps.begin(), gaps.end());
    return Quantile(all, 0.5);
  }

 private:
  Engine& engine_;
  std::vector<Asked> streams_;
};

void Stall(Machine& machine, int64_t length, int64_t count) {
  constexpr int64_t kShort = 128;
  Engine engine(machine.model, nullptr, machine.compute, machine.Options(3 * length));
  FillMemory(machine, engine, length);
  const double short_alone = FirstToken(machine, engine, kShort);
  const double long_alone = FirstToken(machine, engine, length);
  Streams streams(machine, engine, count);
  for (int i = 0; i < 30; ++i) engine.Step();
  const double before = streams.IdleGap();

  Asked big;
  big.Ask(engine, machine.RandomIds(length), 1);
  std::vector<std::unique_ptr<Asked>> small;
  double next = 0.1 * long_alone;
  const Clock::time_point start = Clock::now();
  while (!big.done) {
    engine.Step();
    if (SecondsSince(start) < next) continue;
    next += 0.2 * long_alone;
    small.push_back(std::make_unique<Asked>());
    small.back()->Ask(engine, machine.RandomIds(kShort), 1);
  }
  const std::vector<std::vector<double>> busy = streams.Gaps();
  while (std::ranges::any_of(small, [](const auto& asked) { return !asked->done; })) engine.Step();
  const double after = streams.IdleGap();

  std::vector<double> firsts;
  for (const auto& asked : small) firsts.push_back(asked->first_token() / short_alone);
  // The streams have grown meanwhile, and with them their gaps.
  std::vector<double> slower;
  for (const std::vector<double>& gaps : busy) {
    for (size_t i = 0; i < gaps.size(); ++i) {
      const double passed = static_cast<double>(i) / static_cast<double>(gaps.size());
      slower.push_back(gaps[i] / (before + (after - before) * passed));
    }
  }
  fmt::print(
      "alone: {} tokens {:.2f} s, {} tokens {:.3f} s; {} streams: gap {:.1f} ms "
      "before, {:.1f} ms after\n",
      length, long_alone, kShort, short_alone, count, 1e3 * before, 1e3 * after);
  fmt::print("while the long prompt is read, as multiples of these:\n");
  fmt::print("  gaps of streams    median {:.2f}, 99 % {:.2f}, most {:.2f}\n",
             Quantile(slower, 0.5), Quantile(slower, 0.99), Quantile(slower, 1));
  fmt::print("  first token of {} prompts of {} tokens    median {:.2f}, most {:.2f}\n",
             firsts.size(), kShort, Quantile(firsts, 0.5), Quantile(firsts, 1));
  fmt::print("  the long prompt    {:.2f}\n", big.first_token() / long_alone);
}

Ids Joined(const Ids& base, int64_t count, const Ids& more) {
  Ids ids(base.begin(), base.begin() + count);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

// Reuse of a prompt and time to the first token, against what there was to share and to read.
void Cache(Machine& machine, int64_t length) {
  constexpr int64_t kMore = 64;
  Engine engine(machine.model, nullptr, machine.compute, machine.Options(20 * length));
  Engine cold(machine.model, nullptr, machine.compute, machine.Options(20 * length, false));
  FillMemory(machine, engine, length);
  FirstToken(machine, cold, length);
  const auto ask = [&](const std::string& what, const Ids& prompt, int64_t shared) {
    Asked warm;
    warm.Ask(engine, prompt, 32);
    while (engine.Step()) {
    }
    Asked alone;
    alone.Ask(cold, prompt, 32);
    while (cold.Step()) {
    }
    const auto size = static_cast<double>(prompt.size());
    const double read = (size - static_cast<double>(warm.usage.cached_tokens)) / size;
    const double reused =
        shared == 0 ? 1
                    : static_cast<double>(warm.usage.cached_tokens) / static_cast<double>(shared);
    fmt::print(
        "{:<28} {:>5} tokens: reused {:5.1f} % of what is shared; read {:5.1f} %, first token "
        "after {:5.1f} % of the cold time; answer {}\n",
        what, prompt.size(), 100 * reused, 100 * read,
        100 * warm.first_token() / alone.first_token(),
        warm.ids == alone.ids ? "the same" : "DIFFERENT");
    return reused;
  };
  const Ids base = machine.RandomIds(length);
  const Ids a = machine.RandomIds(kMore);
  const Ids b = machine.RandomIds(kMore);
  const Ids others = machine.RandomIds(length / 2);
  ask("cold", base, 0);
  ask("the same", base, length);
  ask("the same and 64", Joined(base, length, a), length);
  ask("a fork with another 64", Joined(base, length, b), length);
  ask("the first half and others", Joined(base, length / 2, others), length / 2);
  ask("the fork again", Joined(base, length, b), length + kMore);
  std::vector<double> first;
  std::vector<double> second;
  for (int i = 0; i < 12; ++i) {
    const auto at =
        length / 4 + static_cast<int64_t>(machine.random() % static_cast<uint64_t>(length * 3 / 4));
    first.push_back(
        ask(fmt::format("a branch at {}", at), Joined(base, at, machine.RandomIds(kMore)), at));
    second.push_back(
        ask(fmt::format("another at {}", at), Joined(base, at, machine.RandomIds(kMore)), at));
  }
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return 100 * sum / static_cast<double>(values.size());
  };
  fmt::print(
      "branches, first time: {:.1f} % on average, at least {:.1f} %; second: {:.1f} and "
      "{:.1f} %\n",
      mean(first), 100 * std::ranges::min(first), mean(second), 100 * std::ranges::min(second));
  const EngineStats stats = engine.stats();
  fmt::print("{} snapshots in {} MB of states, {} MB of keys and values\n", stats.snapshots,
             stats.state_bytes / 1'000'000, stats.page_bytes / 1'000'000);
}

int Main(const std::vector<std::string>& arguments) {
  const auto number = [&](size_t index, int64_t otherwise) {
    return arguments.size() > index ? std::atoll(arguments[index].c_str()) : otherwise;
  };
  const auto kv = [&](size_t index) {
    return arguments.size() > index ? DTypeFromName(arguments[index]).value_or(DType::kF32)
                                    : DType::kF32;
  };
  if (arguments.size() >= 2 && arguments[0] == "stall") {
    Machine machine(arguments[1], kv(4));
    Stall(machine, number(2, 32'768), number(3, 4));
  } else if (arguments.size() >= 2 && arguments[0] == "cache") {
    Machine machine(arguments[1], kv(3));
    Cache(machine, number(2, 4096));
  } else {
    fmt::print(stderr,
               "usage: serving_bench stall MODEL [LONG [STREAMS [KV-TYPE]]] | serving_bench cache "
               "MODEL [LENGTH [KV-TYPE]]\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return fulmen::Main({argv + 1, argv + argc}); }
