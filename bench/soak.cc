// Clients that come, fork, cancel and vanish at random, for as long as is wanted: what is left of
// them in memory.
//
// soak MODEL [MINUTES]: a line each minute, and what is in use at the end
#include <fmt/core.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "engine/engine.h"
#include "model/weights.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;

int64_t ResidentBytes() {
  int64_t pages = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// What malloc has given out and not got back. What resides besides is the program, the model's
// file, and room that malloc keeps.
int64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

// What the engine's thread tells the clients.
class Answers {
 public:
  EventSink sink() {
    return [this](RequestId id, const Event& event) {
      const std::lock_guard lock(mutex_);
      if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
        ids_[id] = finished->ids;
      }
      if (std::holds_alternative<RequestDone>(event)) done_.insert(id);
    };
  }
  // Once; nothing while the request is under way.
  std::optional<Ids> Take(RequestId id) {
    const std::lock_guard lock(mutex_);
    if (done_.erase(id) == 0) return std::nullopt;
    Ids ids = std::move(ids_[id]);
    ids_.erase(id);
    return ids;
  }

 private:
  std::mutex mutex_;
  std::map<RequestId, Ids> ids_;
  std::set<RequestId> done_;
};

class Clients {
 public:
  Clients(Engine& engine, int64_t vocab)
      : engine_(engine), vocab_(vocab), longest_(std::min<int64_t>(4000, engine.max_position())) {}

  // One of them does something, or waits.
  void Act() {
    Client& client = Any();
    if (client.asked) return Wait(client);
    if (Below(10) == 0) client.said = Any().said;  // a fork
    if (Below(30) == 0) client.said.clear();
    const uint64_t most = Below(10) == 0 ? 1000 : 60;
    Ids more(1 + Below(most));
    for (int32_t& id : more) id = static_cast<int32_t>(Below(static_cast<uint64_t>(vocab_)));
    if (std::ssize(client.said) + std::ssize(more) + 64 > longest_) client.said.clear();
    client.said.insert(client.said.end(), more.begin(), more.end());
    Request request;
    request.prompt = client.said;
    request.max_tokens = 1 + static_cast<int64_t>(Below(60));
    request.choices = Below(10) == 0 ? 3 : 1;
    request.priority = static_cast<int>(Below(2));
    request.key = std::to_string(Below(3));
    request.space = std::to_string(Below(2));
    if (const auto id = engine_.Submit(request, answers_.sink())) client.asked = *id;
  }

  void CancelAll() {
    for (const Client& client : clients_) {
      if (client.asked) engine_.Cancel(*client.asked);
    }
  }

 private:
  // A conversation.
  struct Client {
    Ids said;
    std::optional<RequestId> asked;
  };

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  Client& Any() { return clients_[Below(clients_.size())]; }

  void Wait(Client& client) {
    if (const std::optional<Ids> answer = answers_.Take(*client.asked)) {
      client.said.insert(client.said.end(), answer->begin(), answer->end());
      client.asked.reset();
    } else if (Below(50) == 0) {
      engine_.Cancel(*client.asked);
    }
  }

  Engine& engine_;
  int64_t vocab_;
  int64_t longest_;
  std::mt19937_64 random_{1};
  Answers answers_;
  std::vector<Client> clients_ = std::vector<Client>(12);
};

void PrintMinute(int64_t minute, const EngineStats& stats) {
  fmt::print(
      "minute {}: {:.1f} MB resident, {:.2f} MB allocated; {} tokens of answers, {:.0f} % of "
      "prompts reused, {} snapshots, {} evicted, {} put aside\n",
      minute, static_cast<double>(ResidentBytes()) / 1e6,
      static_cast<double>(AllocatedBytes()) / 1e6, stats.output_tokens,
      100 * static_cast<double>(stats.cached_tokens) /
          static_cast<double>(std::max<int64_t>(stats.prompt_tokens, 1)),
      stats.snapshots, stats.evictions, stats.suspensions);
  std::fflush(stdout);
}

Status Soak(const std::string& path, int64_t minutes) {
  FULMEN_ASSIGN(const Model model, LoadModel(path));
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(""));
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  const StatePool sizes(model.config);
  EngineOptions options;
  options.memory.most_slot_bytes = 100 * sizes.slot_bytes();
  options.memory.most_page_bytes = 80 * sizes.page_bytes();
  Engine engine(model, nullptr, Compute(*kernels, context), options);
  std::thread runner([&engine] { engine.Run(); });
  Clients clients(engine, model.config.vocab_size);
  const Clock::time_point start = Clock::now();
  for (int64_t minute = 0; minute < minutes;) {
    clients.Act();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (SecondsSince(start) < 60.0 * static_cast<double>(minute + 1)) continue;
    PrintMinute(++minute, engine.stats());
  }
  clients.CancelAll();
  while (engine.stats().running + engine.stats().waiting > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  engine.Stop();
  runner.join();
  const EngineStats stats = engine.stats();
  fmt::print("at the end: {} running, {} waiting, {} snapshots, {} states in use\n", stats.running,
             stats.waiting, stats.snapshots, stats.state_bytes / sizes.slot_bytes());
  return {};
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: soak MODEL [MINUTES]\n");
    return 2;
  }
  const fulmen::Status done = fulmen::Soak(argv[1], argc > 2 ? std::atoll(argv[2]) : 60);
  if (!done) fmt::print(stderr, "soak: {}\n", done.error().message);
  return done ? 0 : 1;
}
