// What many clients were told, what the ledger has and what is left of the money agree, however
// often the server is killed meanwhile. FULMEN_METERING="REQUESTS KEYS KILLS" makes it longer:
// "10000 50 20" takes some minutes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "accounts/ledger.h"
#include "base/ascii.h"
#include "tests/e2e/serve_options.h"
#include "tests/e2e/served.h"
#include "tests/testing/golden.h"
#include "tests/testing/private_postgres.h"

namespace fulmen::testing {
namespace {

constexpr Prices kMeteredPrices = {.text = {10}, .cached = {1}, .image = {10}, .output = {100}};
constexpr int64_t kDeposit = 1'000'000'000'000;
constexpr int kOrganisations = 5;
constexpr int kMeteredClients = 12;

struct Size {
  int requests = 300;
  int keys = 10;
  int kills = 3;
};

Size SizeOfTest() {
  Size size;
  if (const char* wanted = std::getenv("FULMEN_METERING"); wanted != nullptr) {
    std::istringstream(wanted) >> size.requests >> size.keys >> size.kills;
  }
  return size;
}

// What a client was told of a request that ended well, by the id in its answer's head.
struct Told {
  int64_t prompt = 0;
  int64_t cached = 0;
  int64_t output = 0;
  auto operator<=>(const Told&) const = default;
};

Told ToldOf(const Json& usage) {
  return {.prompt = usage.at("prompt_tokens"),
          .cached = usage.at("prompt_tokens_details").at("cached_tokens"),
          .output = usage.at("completion_tokens")};
}

// The usage of a stream, where its last event has come.
std::optional<Told> ToldOfStream(const std::string& body) {
  if (!body.ends_with("data: [DONE]\n\n")) return std::nullopt;
  std::optional<Told> told;
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data: {")) continue;
    const Json event = Json::parse(line.substr(6));
    if (event.contains("usage") && !event["usage"].is_null()) told = ToldOf(event["usage"]);
  }
  return told;
}

class Metering : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "SQLite") {
      options_.database = folder_ / "ledger.db";
    } else if (PrivatePostgres* postgres = PrivatePostgres::Shared(); postgres != nullptr) {
      options_.database = postgres->NewDatabase();
      options_.journal = folder_ / "journal";
    } else {
      GTEST_SKIP() << kNoPostgres;
    }
    options_.lease_seconds = 2;
    const auto ledger = Ledger::Open(options_).value();
    ASSERT_TRUE(ledger->SetPrices(kServedModel, "CNY", kMeteredPrices));
    for (int i = 0; i < kOrganisations; ++i) {
      const std::string name = fmt::format("org {}", i);
      ASSERT_TRUE(ledger->AddOrganisation(name, "CNY"));
      ASSERT_TRUE(ledger->Deposit(name, {kDeposit}, name));
    }
    for (int i = 0; i < size_.keys; ++i) {
      const auto made =
          ledger->AddKey(fmt::format("org {}", i % kOrganisations), {.name = "a client"}).value();
      secrets_.push_back(made.secret.Reveal());
    }
    port_ = FreePort();
  }

  Words ServerWords(const std::string& journal) const {
    Words words = {"--accounts", options_.database};
    if (!journal.empty()) words.insert(words.end(), {"--accounts-journal", journal});
    return words;
  }

  void StartServer() {
    Words words = ServerWords(options_.journal);
    words.insert(words.end(), {"--port", port_});
    server_ = std::make_unique<Served>(folder_.path(), words);
  }

  // Until as many requests have met a server as there are to be.
  void Ask(unsigned seed) {
    std::minstd_rand random(seed);
    while (sent_.fetch_add(1) < size_.requests) {
      const std::string& secret = secrets_[random() % secrets_.size()];
      Json body = ChatOf(fmt::format("Question {}: what is Fulmen?", random() % 50),
                         1 + static_cast<int>(random() % 12));
      const bool stream = random() % 2 == 0;
      if (stream) {
        body["stream"] = true;
        body["stream_options"] = {{"include_usage", true}};
      }
      const auto port = static_cast<uint16_t>(std::stoi(port_));
      RawClient client(port, 0, 20);
      client.Send(
          fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{}\r\n"
                      "Authorization: Bearer {}\r\nContent-Type: application/json\r\n"
                      "Content-Length: {}\r\n\r\n{}",
                      port, secret, body.dump().size(), body.dump()));
      if (random() % 20 == 0) continue;  // it has left
      const RawAnswer answer = client.Read();
      if (answer.status == 0) {  // killed, or not there yet, for however long it takes to start
        --sent_;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      if (answer.status != 200 || !answer.whole) continue;
      const std::optional<Told> told =
          stream ? ToldOfStream(answer.body) : ToldOf(Json::parse(answer.body).at("usage"));
      const std::lock_guard lock(telling_);
      if (told) told_[answer.Header("x-request-id")] = *told;
    }
  }

  void KillNowAndThen() {
    std::minstd_rand random(7);
    for (int i = 1; i <= size_.kills; ++i) {
      // At times that are spread over the requests.
      while (sent_ < size_.requests * i / (size_.kills + 1)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
      EXPECT_EQ(server_->End(SIGKILL), 128 + SIGKILL);
      StartServer();
    }
  }

  // Once no request is under way any more.
  std::unique_ptr<Ledger> Settled() {
    auto ledger = Ledger::Open(options_).value();
    const auto held = [&] {
      int64_t sum = 0;
      for (int i = 0; i < kOrganisations; ++i) {
        sum += ledger->BalanceOf(fmt::format("org {}", i)).value().held.nanos;
      }
      return sum;
    };
    // Of a server that was killed the lease has to end first.
    for (int tries = 0; tries < 200 && held() > 0; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    EXPECT_EQ(held(), 0);
    return ledger;
  }

  const Size size_ = SizeOfTest();
  const TemporaryFolder folder_;
  LedgerOptions options_;
  std::string port_;
  std::vector<std::string> secrets_;
  std::unique_ptr<Served> server_;
  std::atomic<int> sent_ = 0;
  std::mutex telling_;
  std::map<std::string, Told> told_;  // by the id in lower case, as heads are read
};

TEST_P(Metering, RowsAreWhatClientsWereToldAndBalancesAreWhatIsLeft) {
  StartServer();
  std::vector<std::thread> clients;
  const auto begin = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < kMeteredClients; ++i) clients.emplace_back([this, i] { Ask(i + 1); });
  KillNowAndThen();
  for (std::thread& client : clients) client.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(server_->End(SIGTERM), 0);

  const auto ledger = Settled();
  std::map<std::string, UsageRow> rows;
  for (int i = 0; i < kOrganisations; ++i) {
    const std::string name = fmt::format("org {}", i);
    int64_t charged = 0;
    std::string after;
    while (true) {
      const auto page = ledger->Rows(name, 0, INT64_MAX, 1000, after).value();
      for (const UsageRow& row : page) {
        EXPECT_TRUE(rows.emplace(LowerCase(row.request), row).second) << row.request;
        charged += row.charge.nanos;
        if (row.outcome == "crashed") {
          EXPECT_EQ(row.charge.nanos, 0);
        }
      }
      if (page.empty()) break;
      after = page.back().request;
    }
    EXPECT_EQ(ledger->BalanceOf(name).value().balance.nanos, kDeposit - charged) << name;
  }
  Told sum;
  Told charged;
  for (const auto& [request, told] : told_) {
    const auto found = rows.find(request);
    ASSERT_NE(found, rows.end()) << request;
    const TokenCounts& tokens = found->second.tokens;
    EXPECT_EQ((Told{tokens.prompt, tokens.cached, tokens.output}), told) << request;
    sum = {sum.prompt + told.prompt, sum.cached + told.cached, sum.output + told.output};
    charged = {charged.prompt + tokens.prompt, charged.cached + tokens.cached,
               charged.output + tokens.output};
  }
  EXPECT_EQ(sum, charged);
  EXPECT_GT(std::ssize(told_), size_.requests / 4) << "too few to show anything";
  const auto crashed =
      std::ranges::count_if(rows, [](const auto& row) { return row.second.outcome == "crashed"; });
  fmt::print(
      "{}: {} requests sent, {} answered to the end, {} rows, {} of them crashed, {} kills, "
      "{:.1f} s\n",
      GetParam(), size_.requests, told_.size(), rows.size(), crashed, size_.kills, took.count());
  // No secret is anywhere but with its owner.
  for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
    const std::string text = ReadFileOrDie(file.path());
    for (const std::string& secret : secrets_) {
      EXPECT_EQ(text.find(secret), std::string::npos) << file.path();
    }
  }
}

// Whatever many clients send at once, of a limit no more than a hundredth too much passes.
TEST_P(Metering, LimitsHoldUnderLoad) {
  constexpr int64_t kPerMinute = 600;  // 10 a second
  std::string secret;
  {
    const auto ledger = Ledger::Open(options_).value();
    const auto made =
        ledger->AddKey("org 0", {.name = "limited", .limits = {.requests_per_minute = kPerMinute}});
    secret = made.value().secret.Reveal();
  }
  StartServer();
  const std::string bearer = Bearer(secret);
  std::atomic<int64_t> passed = 0;
  std::atomic<bool> ends = false;
  std::vector<std::thread> clients;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      while (!ends) {
        const RawAnswer answer =
            server_->Ask("POST /v1/chat/completions", ChatOf("Hi", 1).dump(), bearer);
        if (answer.status == 200) {
          ++passed;
        } else {  // and nobody is refused what there is
          EXPECT_EQ(answer.status, 429) << answer.body;
          EXPECT_EQ(answer.Header("x-ratelimit-remaining-requests"), "0");
        }
      }
    });
  }
  // The bucket is full at first: a minute's worth passes at once, the rest as it fills.
  while (passed < kPerMinute + 20) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ends = true;
  for (std::thread& client : clients) client.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double allowed = static_cast<double>(kPerMinute) * (1 + took.count() / 60);
  EXPECT_LE(static_cast<double>(passed), allowed * 1.01);
  EXPECT_EQ(server_->End(SIGTERM), 0);
}

// Servers that share a ledger, and its database gone for some seconds in the midst of it:
// FULMEN_OUTAGE=10 makes it ten.
class SharedLedger : public Metering {};

TEST_P(SharedLedger, TwoServersSpendNothingTwiceAndLoseNothingInAnOutage) {
  constexpr int64_t kMoney = 400'000;  // some 15 requests at once may hold theirs, and 100 end
  std::string secret;
  {
    const auto ledger = Ledger::Open(options_).value();
    ASSERT_TRUE(ledger->AddOrganisation("poor", "CNY"));
    ASSERT_TRUE(ledger->Deposit("poor", {kMoney}, "little"));
    secret = ledger->AddKey("poor", {.name = "shared"}).value().secret.Reveal();
  }
  const auto words = [&](const char* journal) {
    Words all = ServerWords(folder_ / journal);
    all.emplace_back("--no-sessions");  // else the second waits for the first's
    return all;
  };
  const Served first(folder_.path(), words("journal 1"));
  const Served second(folder_.path(), words("journal 2"));
  const std::string bearer = Bearer(secret);
  std::map<int, int> statuses;
  double longest = 0;  // seconds
  std::atomic<bool> ends = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&, i] {
      while (!ends) {
        const Served& server = i % 2 == 0 ? first : second;
        const auto begin = std::chrono::steady_clock::now();
        RawClient client(server.port(), 0, 20);
        client.Send(server.Request("POST /v1/chat/completions",
                                   ChatOf("What is Fulmen?", 20).dump(), bearer));
        const RawAnswer answer = client.Read();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        const std::lock_guard lock(telling_);
        ++statuses[answer.status];
        longest = std::max(longest, took.count());
        if (answer.status == 200) {
          told_[answer.Header("x-request-id")] = ToldOf(Json::parse(answer.body).at("usage"));
        }
        if (answer.status == 402) return;
      }
    });
  }
  PrivatePostgres* postgres = PrivatePostgres::Shared();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  postgres->Kill();
  const char* seconds = std::getenv("FULMEN_OUTAGE");
  std::this_thread::sleep_for(std::chrono::seconds(seconds == nullptr ? 2 : std::atoi(seconds)));
  postgres->Start();
  for (int tries = 0; tries < 300; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::lock_guard lock(telling_);
    if (statuses[402] == 6) break;
  }
  ends = true;
  for (std::thread& client : clients) client.join();
  for (const auto& [status, count] : statuses) {
    EXPECT_TRUE(status == 200 || status == 402 || status == 503) << status << ": " << count << "\n"
                                                                 << first.Err() << second.Err();
  }
  EXPECT_LT(longest, 5);  // what is asked of a database that is away ends soon
  EXPECT_EQ(statuses[402], 6) << "the money comes to an end";
  EXPECT_GT(statuses[503], 0) << "the database was away";
  first.Signal(SIGTERM);
  second.Signal(SIGTERM);
  const auto ledger = Settled();
  int64_t charged = 0;
  std::map<std::string, UsageRow> rows;
  const std::vector<UsageRow> all = ledger->Rows("poor", 0, INT64_MAX, 1000).value();
  for (const UsageRow& row : all) {
    charged += row.charge.nanos;
    rows.emplace(LowerCase(row.request), row);
  }
  const Balance left = ledger->BalanceOf("poor").value();
  EXPECT_EQ(left.balance.nanos, kMoney - charged);
  EXPECT_GE(left.balance.nanos, 0);
  for (const auto& [request, told] : told_) {
    const auto found = rows.find(request);
    ASSERT_NE(found, rows.end()) << request << " was served free";
    EXPECT_EQ(found->second.tokens.output, told.output);
  }
}

INSTANTIATE_TEST_SUITE_P(In, SharedLedger, ::testing::Values("PostgreSQL"));
INSTANTIATE_TEST_SUITE_P(In, Metering, ::testing::Values("SQLite", "PostgreSQL"),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace fulmen::testing
