// `fulmen keys`, `balance`, `usage`, `organisations` and `prices`: on a ledger's file, and through
// the server that has it open. No option of theirs is read and then ignored.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "accounts/admin.h"
#include "accounts/ledger.h"
#include "base/ascii.h"
#include "base/file_io.h"
#include "tests/e2e/served.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

Words WordsOf(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

ProgramResult Fulmen(const std::string& line, const std::string& folder,
                     const std::string& key = "none") {
  Words words = {"env", "-u", "FULMEN_ACCOUNTS", "FULMEN_ADMIN_KEY=" + key, FulmenBinary()};
  for (const std::string& word : WordsOf(line)) words.push_back(word);
  return RunProgram(words, {.folder = folder});
}

// A ledger with two organisations, each with a key, money and a request of its own.
std::map<std::string, std::string> WriteLedger(const std::string& path) {
  const auto ledger = Ledger::Open({.database = path}).value();
  EXPECT_TRUE(
      ledger->SetPrices(kServedModel, "CNY",
                        {.text = {1'000}, .cached = {200}, .image = {1'000}, .output = {8'000}}));
  std::map<std::string, std::string> keys;
  for (const std::string name : {"main", "acme"}) {
    EXPECT_TRUE(ledger->AddOrganisation(name, "CNY"));
    EXPECT_TRUE(ledger->Deposit(name, {5'000'000'000}, "opening of " + name));
    keys[name] = ledger->AddKey(name, {.name = name + "'s"}).value().key.id;
    EXPECT_TRUE(ledger->Admit({"req_" + name, keys[name], kServedModel, 100}));
    const int64_t output = name == "main" ? 7 : 9;
    EXPECT_TRUE(
        ledger->Settle("req_" + name, {.prompt = 100, .text = 100, .output = output}, "stop"));
  }
  return keys;
}

// What is random or a time.
std::string WithoutChance(std::string text) {
  text = std::regex_replace(text, std::regex("key_[0-9a-f]{24}"), "KEY");
  text = std::regex_replace(text, std::regex("sk-fulmen-[A-Za-z0-9_-]+"), "SECRET");
  return std::regex_replace(text, std::regex("[0-9-]{10}T[0-9:]{8}Z"), "TIME");
}

class AccountsCommand : public ::testing::Test {
 protected:
  AccountsCommand() { keys_ = WriteLedger(folder_ / "ledger.db"); }

  // What a line says, and what is in the ledger and beside it afterwards.
  std::string See(std::string line) {
    line = std::regex_replace(line, std::regex("KEY"), keys_.at("main"));
    const TemporaryFolder copy;
    std::filesystem::copy(folder_.path(), copy.path());
    const ProgramResult result = Fulmen(line, copy.path());
    std::string seen = fmt::format("{}\n{}\n{}\n", result.exit_code, result.out, result.err);
    const auto ledger = Ledger::Open({.database = copy / "ledger.db"}).value();
    for (const std::string look : {"keys", "balance", "organisations", "prices"}) {
      for (const Json& whose : {Json::object(), Json{{"organisation", "acme"}}}) {
        const auto answer = FindAdminOperation(look).run(*ledger, whose);
        if (answer) seen += answer->dump();
      }
    }
    for (const auto& file : std::filesystem::directory_iterator(copy.path())) {
      if (file.path().extension() == ".db") seen += file.path().filename();
    }
    return WithoutChance(seen);
  }

  const TemporaryFolder folder_;
  std::map<std::string, std::string> keys_;
};

struct AccountsEffect {
  std::string command;
  std::string option;
  std::string one;  // the words after the command, as in the other
  std::string other;
};

// What all commands have.
void AddCommon(std::vector<AccountsEffect>& effects, const std::string& command,
               const std::string& words) {
  const std::string here = words + " --accounts ledger.db";
  const std::string there = words + " --url http://127.0.0.1:1";
  effects.push_back({command, "--accounts", words + " --accounts other.db", here});
  effects.push_back({command, "--url", here, there});
  effects.push_back({command, "--key-file", there, there + " --key-file missing"});
  effects.push_back({command, "--json", here, here + " --json"});
}

void AddOrganisation(std::vector<AccountsEffect>& effects, const std::string& command,
                     const std::string& words) {
  const std::string here = words + " --accounts ledger.db";
  effects.push_back({command, "--organisation", here, here + " --organisation acme"});
}

std::vector<AccountsEffect> AllAccountsEffects() {
  std::vector<AccountsEffect> effects;
  const std::pair<std::string, std::string> lines[] = {{"keys create", "new"},
                                                       {"keys list", ""},
                                                       {"keys revoke", "KEY"},
                                                       {"keys limit", "KEY --concurrent 1"},
                                                       {"balance add", "5 --ref new"},
                                                       {"balance show", ""},
                                                       {"usage", ""},
                                                       {"organisations add", "new"},
                                                       {"organisations list", ""},
                                                       {"prices set", "m --input 1 --output 2"},
                                                       {"prices list", ""},
                                                       {"accounts backup", "copy.db"}};
  for (const auto& [command, words] : lines) AddCommon(effects, command, words);
  for (const auto& [command, words] : {lines[0], lines[1], lines[4], lines[5], lines[6]}) {
    AddOrganisation(effects, command, words);
  }
  const std::string create = "new --accounts ledger.db";
  const std::string limit = "KEY --accounts ledger.db";
  for (const std::string option :
       {"--requests-per-minute", "--tokens-per-minute", "--concurrent", "--spend-per-day"}) {
    const std::string five = fmt::format(" {} 5", option);
    effects.push_back({"keys create", option, create, create + five});
    effects.push_back({"keys limit", option, limit, limit + five});
  }
  const std::string usage = "--accounts ledger.db";
  const std::string add = "new --accounts ledger.db";
  const std::string set = "m --input 1 --output 2 --accounts ledger.db";
  const std::vector<AccountsEffect> others = {
      {"keys create", "--scope", create, create + " --scope admin"},
      {"keys create", "--expires", create, create + " --expires 2099-12-31"},
      {"balance add", "--ref", "5 --accounts ledger.db --ref a",
       "5 --accounts ledger.db --ref opening"},
      {"usage", "--by", usage, usage + " --by model"},
      {"usage", "--from", usage, usage + " --from 2099-01-01"},
      {"usage", "--to", usage, usage + " --to 2001-01-01"},
      {"usage", "--csv", usage, usage + " --csv"},
      {"organisations add", "--currency", add, add + " --currency EUR"},
      {"organisations add", "--time-zone", add, add + " --time-zone Asia/Shanghai"},
      {"prices set", "--input", set, "m --input 3 --output 2 --accounts ledger.db"},
      {"prices set", "--output", set, "m --input 1 --output 3 --accounts ledger.db"},
      {"prices set", "--cached", set, set + " --cached 0.5"},
      {"prices set", "--image", set, set + " --image 0.5"},
      {"prices set", "--currency", set, set + " --currency EUR"},
  };
  effects.insert(effects.end(), others.begin(), others.end());
  return effects;
}

TEST_F(AccountsCommand, EveryOptionHasAnEffect) {
  std::map<std::string, std::set<std::string>> known;
  for (const AccountsEffect& each : AllAccountsEffects()) {
    SCOPED_TRACE(each.command + " " + each.option);
    known[each.command].insert(each.option);
    std::string other = each.other;
    if (each.option == "--ref") other += " of";  // not there; see ADepositAddsOnce
    EXPECT_NE(See(each.command + " " + each.one), See(each.command + " " + other));
  }
  for (const Words& words : AllCommands()) {
    const std::string command = fmt::format("{}", fmt::join(words, " "));
    const bool ours =
        std::ranges::any_of(known, [&](const auto& each) { return each.first == command; });
    if (!ours) continue;
    for (const std::string& option : HelpOf(words).options) {
      EXPECT_TRUE(option == "--help" || known[command].contains(option)) << command << option;
    }
  }
}

TEST_F(AccountsCommand, ADepositAddsOnce) {
  const std::string line = "balance add 2.5 --ref invoice-17 --accounts ledger.db";
  const ProgramResult first = Fulmen(line, folder_.path());
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.out, Fulmen(line, folder_.path()).out);
  const ProgramResult other =
      Fulmen("balance add 3 --ref invoice-17 --accounts ledger.db", folder_.path());
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_NE(other.err.find("invoice-17"), std::string::npos) << other.err;
}

TEST_F(AccountsCommand, MistakesGetOneSentence) {
  const std::pair<std::string, std::string> lines[] = {
      {"keys list", "a ledger is needed"},
      {"keys list --accounts none.db", "none.db: there is no ledger yet"},
      {"keys list --accounts ledger.db --organisation other", "there is no organisation \"other\""},
      {"keys create x --accounts ledger.db --expires soon", "expires: "},
      {"keys create x --accounts ledger.db --concurrent many",
       "concurrent: expected a whole number"},
      {"keys revoke key_none --accounts ledger.db", "there is no key key_none"},
      {"keys limit key_none --concurrent 1 --accounts ledger.db", "there is no key key_none"},
      {"balance add 1e3 --ref r --accounts ledger.db", "amount: "},
      {"balance add -1 --ref r --accounts ledger.db", ""},
      {"organisations add new --time-zone Mars/Base --accounts ledger.db", "Mars/Base"},
      {"prices set m --input 0.0001 --output 1 --accounts ledger.db", "input: expected a price"},
      {"keys list --url http://127.0.0.1:1", "127.0.0.1"},
      {"accounts backup ledger.db --accounts ledger.db", "ledger.db"},
      {"accounts backup ../x.db --accounts ledger.db", "name: expected the name of a file"},
  };
  for (const auto& [line, sentence] : lines) {
    SCOPED_TRACE(line);
    const ProgramResult result = Fulmen(line, folder_.path());
    EXPECT_NE(result.exit_code, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(sentence), std::string::npos) << result.err;
    EXPECT_LE(std::ranges::count(result.err, '\n'), 2) << result.err;
  }
}

TEST_F(AccountsCommand, CsvHasEveryRequestWithItsPrices) {
  const ProgramResult csv = Fulmen("usage --csv --accounts ledger.db", folder_.path());
  EXPECT_EQ(csv.exit_code, 0) << csv.err;
  EXPECT_TRUE(csv.out.starts_with("request,key,model,started,ended,outcome,prompt_tokens,"))
      << csv.out;
  EXPECT_EQ(std::ranges::count(csv.out, '\n'), 2) << csv.out;
  EXPECT_NE(csv.out.find("req_main," + keys_.at("main") + ",fulmen-nano,"), std::string::npos);
  EXPECT_NE(csv.out.find(",0.000156\r\n"), std::string::npos) << csv.out;  // 100 + 7 * 8
}

// From nothing to a paid answer, and back, as the one who runs a server does it.
TEST_F(AccountsCommand, WorkThroughTheServerThatHasTheLedger) {
  Served server(folder_.path(), {"--accounts", "ledger.db"});
  const std::string err = server.Err();
  std::smatch found;
  ASSERT_TRUE(std::regex_search(err, found, std::regex("sk-fulmen-[A-Za-z0-9_-]+"))) << err;
  const std::string admin = found.str();
  const auto run = [&](const std::string& line) {
    const ProgramResult result =
        Fulmen(line + " --url " + server.url() + "/", folder_.path(), admin);
    EXPECT_EQ(result.exit_code, 0) << line << "\n" << result.err;
    return result.out;
  };
  // Its file is the server's own.
  const ProgramResult busy = Fulmen("balance show --accounts ledger.db", folder_.path());
  EXPECT_EQ(busy.exit_code, 1);
  EXPECT_NE(busy.err.find("--url"), std::string::npos) << busy.err;

  const std::string secret(Trimmed(run("keys create laptop --concurrent 3")));
  const std::string bearer = Bearer(secret);
  EXPECT_EQ(run("balance show"), "4.999844 CNY\n");
  server.Post("/v1/chat/completions", ChatOf("Hi", 5), bearer);
  const Json used = Json::parse(run("usage --by key --json"));
  EXPECT_EQ(used["data"].size(), 2U) << used;
  EXPECT_NE(run("usage --csv").find("fulmen-nano"), std::string::npos);
  const Json keys = Json::parse(run("keys list --json"));
  ASSERT_EQ(keys["data"].size(), 3U) << keys;
  const std::string id = keys["data"][2]["id"];
  EXPECT_EQ(keys["data"][2]["name"], "laptop");
  EXPECT_EQ(keys["data"][2]["concurrent"], 3);
  EXPECT_EQ(keys.dump().find(secret), std::string::npos);
  run("keys limit " + id + " --requests-per-minute 1");
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", ChatOf("Hi", 5).dump(), bearer).status, 200);
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", ChatOf("Hi", 5).dump(), bearer).status, 429);
  run("keys revoke " + id);
  EXPECT_EQ(server.Ask("GET /v1/models", "", bearer).status, 401);
  run("balance add 1 --ref through-the-server");
  run("prices set fulmen-nano --input 2 --output 4");
  run("accounts backup copy.db");
  EXPECT_EQ(Fulmen("balance show --accounts copy.db", folder_.path()).out, run("balance show"));

  // An administrator's key is for this alone, and nothing of it for other keys.
  const std::string administrator = Bearer(admin);
  EXPECT_EQ(server.Ask("POST /v1/chat/completions", ChatOf("Hi").dump(), administrator).status,
            403);
  const RawAnswer metrics = server.Ask("GET /metrics", "", administrator);
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.body.find("sk-fulmen-"), std::string::npos);
  EXPECT_EQ(server.Ask("GET /admin/keys").status, 401);
  EXPECT_EQ(server.Ask("GET /admin/keys?organisatoin=main", "", administrator).status, 400);
  EXPECT_EQ(server.End(SIGTERM), 0);
  // No secret is anywhere on the disk but in the line that was printed once.
  for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
    const std::string text = ReadFileOrDie(file.path());
    EXPECT_EQ(text.find(secret), std::string::npos) << file.path();
    const bool told = file.path().filename().string().starts_with("err-");
    EXPECT_EQ(text.find(admin) != std::string::npos, told) << file.path();
  }
  // The next server makes no other.
  Served again(folder_.path(), {"--accounts", "ledger.db"});
  EXPECT_EQ(again.Err().find("sk-fulmen-"), std::string::npos);
}

}  // namespace
}  // namespace fulmen::testing
