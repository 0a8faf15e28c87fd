// fulmen keys, balance, usage, organisations, prices: what administrators do with a ledger.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "train/page.h"

namespace fulmen {
namespace {

// Of one command: where its ledger is, what it asks, and how the answer is told.
struct Administration {
  AdminTarget target;
  Json arguments = Json::object();
  bool json = false;
  bool csv = false;
};
using Shared = std::shared_ptr<Administration>;

void PrintLine(const Json& json) { Print("{}\n", DumpJson(json)); }

std::string CellOf(const Json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// A column for each member of the first.
void PrintTable(const Json& data, std::string_view nothing) {
  if (data.empty()) {
    Say("fulmen: {}\n", nothing);
    return;
  }
  Table table;
  for (const auto& [name, value] : data.front().items()) table.header.push_back(name);
  for (const Json& line : data) {
    std::vector<std::string> row;
    for (const auto& [name, value] : line.items()) row.push_back(CellOf(value));
    table.rows.push_back(std::move(row));
  }
  PrintText(TextTable(table));
}

// RFC 4180. A spreadsheet would take what begins with = and the like for a formula.
std::string CsvCell(const Json& value) {
  std::string text = value.is_null() ? "" : CellOf(value);
  if (!text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos) {
    text = fmt::format("'{}", text);
  }
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char letter : text) quoted.append(letter == '"' ? 2 : 1, letter);
  return quoted + "\"";
}

void PrintCsv(const Json& data, bool header) {
  for (const Json& line : data) {
    std::string names;
    std::string cells;
    for (const auto& [name, value] : line.items()) {
      names += (names.empty() ? "" : ",") + name;
      if (&value != &line.front()) cells += ",";
      cells += CsvCell(value);
    }
    if (std::exchange(header, false)) Print("{}\r\n", names);
    Print("{}\r\n", cells);
  }
}

// An option whose value, where it is given, is an argument of the operation.
Option& AddArgument(Command& command, const Shared& shared, std::string_view spec,
                    const std::string& name, std::string help) {
  return command.Add(
      spec,
      [shared, name](const std::string& text) -> Status {
        shared->arguments[name] = text;
        return {};
      },
      std::move(help));
}

void AddOrganisationOption(Command& command, const Shared& shared) {
  AddArgument(command, shared, "--organisation NAME", "organisation", "Whose").Default("main");
}

void AddLimitOptions(Command& command, const Shared& shared) {
  command.Group("Limits");
  AddArgument(command, shared, "--requests-per-minute N", "requests_per_minute",
              "Requests; 0 is any number, as in the others");
  AddArgument(command, shared, "--tokens-per-minute N", "tokens_per_minute",
              "Tokens of prompts and answers");
  AddArgument(command, shared, "--concurrent N", "concurrent", "Requests at one time");
  AddArgument(command, shared, "--spend-per-day AMOUNT", "spend_per_day",
              "Money, in the organisation's currency and time zone");
  command.Group("Options");
}

// What all of them have; `tell` prints an answer for people.
void Finish(Command& command, const Shared& shared, std::string operation, std::string example,
            std::function<void(const Json& answer)> tell, bool makes = false) {
  AddAdminTarget(command, shared->target);
  command.Add("--json", shared->json, "Print the answer as JSON");
  command.Examples({std::move(example)});
  command.Run(
      [shared, operation = std::move(operation), tell = std::move(tell), makes]() -> Status {
        FULMEN_ASSIGN(const Json answer,
                      CallAdmin(shared->target, operation, shared->arguments, makes));
        shared->json ? PrintLine(answer) : tell(answer);
        return {};
      });
}

std::function<void(const Json&)> TellsTable(std::string nothing) {
  return [nothing = std::move(nothing)](const Json& answer) {
    PrintTable(answer.at("data"), nothing);
  };
}

void AddKeys(Command& program) {
  Command& keys = program.AddCommand("keys", "Make, list, limit and revoke the keys of a ledger");
  auto create = std::make_shared<Administration>();
  Command& making = keys.AddCommand("create", "Make a key, and print it this once");
  AddArgument(making, create, "NAME", "name", "What people call it").Required();
  AddOrganisationOption(making, create);
  AddArgument(making, create, "--scope SCOPE", "scope",
              "What it is for: answers, or the administration of the ledger")
      .Choices({"inference", "admin"})
      .Default("inference");
  AddArgument(making, create, "--expires DATE", "expires", "Its last day, as 2027-12-31")
      .Default("never");
  AddLimitOptions(making, create);
  Finish(
      making, create, "keys.create",
      "fulmen keys create laptop --requests-per-minute 60 --accounts /tmp/ledger.db",
      [](const Json& answer) {
        Say("fulmen: key {}; it is shown this once\n", answer.at("id").get<std::string>());
        Print("{}\n", answer.at("secret").get<std::string>());
      },
      /*makes=*/true);

  auto list = std::make_shared<Administration>();
  Command& listing = keys.AddCommand("list", "List an organisation's keys, without their secrets");
  AddOrganisationOption(listing, list);
  Finish(listing, list, "keys", "fulmen keys list --accounts /tmp/ledger.db",
         TellsTable("there are no keys"));

  auto revoke = std::make_shared<Administration>();
  Command& revoking = keys.AddCommand("revoke", "Let a key in no more; what it used stays");
  AddArgument(revoking, revoke, "ID", "id", "The key's id, as key_...").Required();
  Finish(revoking, revoke, "keys.revoke",
         "fulmen keys revoke key_0123456789abcdef01234567 --url http://127.0.0.1:8080",
         [](const Json& answer) {
           Say("fulmen: {} is revoked\n", answer.at("id").get<std::string>());
         });

  auto limit = std::make_shared<Administration>();
  Command& limiting = keys.AddCommand("limit", "Change a key's limits; those not given stay");
  AddArgument(limiting, limit, "ID", "id", "The key's id, as key_...").Required();
  AddLimitOptions(limiting, limit);
  Finish(limiting, limit, "keys.limit",
         "fulmen keys limit key_0123456789abcdef01234567 --concurrent 4 --url "
         "http://127.0.0.1:8080",
         [](const Json& answer) { PrintTable(Json::array({answer}), ""); });
  keys.Examples({"fulmen keys create phone --accounts /tmp/ledger.db"});
}

void AddBalance(Command& program) {
  Command& balance = program.AddCommand("balance", "Pay in, and see what is left");
  auto add = std::make_shared<Administration>();
  Command& adding =
      balance.AddCommand("add", "Pay in; a reference adds once, however often it is said");
  AddArgument(adding, add, "AMOUNT", "amount", "Money, as 100 or 12.5").Required();
  AddArgument(adding, add, "--ref REFERENCE", "reference",
              "What tells this deposit from all others, as the number of an invoice")
      .Required();
  AddOrganisationOption(adding, add);
  Finish(adding, add, "deposits.add",
         "fulmen balance add 100 --ref invoice-17 --accounts /tmp/ledger.db",
         [](const Json& answer) {
           if (!answer.at("added").get<bool>()) {
             Say("fulmen: {} was paid in before, so nothing was added\n",
                 answer.at("reference").get<std::string>());
           }
           Print("{} {}\n", answer.at("balance").get<std::string>(),
                 answer.at("currency").get<std::string>());
         });

  auto show = std::make_shared<Administration>();
  Command& showing = balance.AddCommand("show", "Print what an organisation has left");
  AddOrganisationOption(showing, show);
  Finish(showing, show, "balance", "fulmen balance show --accounts /tmp/ledger.db",
         [](const Json& answer) {
           Print("{} {}\n", answer.at("balance").get<std::string>(),
                 answer.at("currency").get<std::string>());
           if (answer.at("held") != "0") {
             Say("fulmen: {} of it are held by requests under way\n",
                 answer.at("held").get<std::string>());
           }
         });
  balance.Examples({"fulmen balance show --accounts /tmp/ledger.db"});
}

// Every row, page by page.
Status PrintRows(const Administration& shared) {
  Json arguments = shared.arguments;
  arguments.erase("by");
  for (bool first = true, more = true; more; first = false) {
    FULMEN_ASSIGN(const Json answer, CallAdmin(shared.target, "usage.rows", arguments));
    const Json& data = answer.at("data");
    PrintCsv(data, first);
    more = answer.at("has_more").get<bool>();
    if (more) arguments["after"] = data.back().at("request");
  }
  return {};
}

void AddUsage(Command& program) {
  auto shared = std::make_shared<Administration>();
  Command& usage = program.AddCommand("usage", "Print what was used and what it cost");
  AddArgument(usage, shared, "--by WHAT", "by", "A line for each of these")
      .Choices({"day", "key", "model"})
      .Default("day");
  AddArgument(usage, shared, "--from DATE", "from", "From this day on, as 2026-11-01");
  AddArgument(usage, shared, "--to DATE", "to", "Up to this day, itself among them");
  AddOrganisationOption(usage, shared);
  AddAdminTarget(usage, shared->target);
  usage.Add("--json", shared->json, "Print the answer as JSON").Excludes({"--csv"});
  usage.Add("--csv", shared->csv, "Print every request on a line of comma-separated values")
      .Excludes({"--by"});
  usage.Examples({"fulmen usage --by key --accounts /tmp/ledger.db",
                  "fulmen usage --csv --from 2026-11-01 --accounts /tmp/ledger.db"});
  usage.Run([shared]() -> Status {
    if (shared->csv) return PrintRows(*shared);
    FULMEN_ASSIGN(const Json answer, CallAdmin(shared->target, "usage", shared->arguments));
    shared->json ? PrintLine(answer) : PrintTable(answer.at("data"), "nothing was used");
    return {};
  });
}

void AddOrganisations(Command& program) {
  Command& organisations =
      program.AddCommand("organisations", "Who has keys and a balance of their own");
  auto add = std::make_shared<Administration>();
  Command& adding = organisations.AddCommand("add", "Add an organisation");
  AddArgument(adding, add, "NAME", "name", "Its name").Required();
  AddArgument(adding, add, "--currency CODE", "currency", "Of its balance").Default("CNY");
  AddArgument(adding, add, "--time-zone ZONE", "time_zone", "Of its days, as Asia/Shanghai")
      .Default("UTC");
  Finish(
      adding, add, "organisations.add",
      "fulmen organisations add acme --time-zone Asia/Shanghai --accounts /tmp/ledger.db",
      [](const Json& answer) {
        Say("fulmen: {} is added\n", answer.at("name").get<std::string>());
      },
      /*makes=*/true);
  auto list = std::make_shared<Administration>();
  Command& listing = organisations.AddCommand("list", "List them, with their balances");
  Finish(listing, list, "organisations", "fulmen organisations list --accounts /tmp/ledger.db",
         TellsTable("there are no organisations"));
  organisations.Examples({"fulmen organisations list --accounts /tmp/ledger.db"});
}

void AddAccounts(Command& program) {
  Command& accounts = program.AddCommand("accounts", "The ledger as a whole");
  auto backup = std::make_shared<Administration>();
  Command& copying = accounts.AddCommand(
      "backup", "Copy the ledger while it is in use; the copy has its name once it is whole");
  AddArgument(copying, backup, "NAME", "name", "A new file beside the ledger").Required();
  Finish(copying, backup, "backup",
         "fulmen accounts backup ledger-monday.db --accounts /tmp/ledger.db",
         [](const Json& answer) {
           Say("fulmen: {} is whole\n", answer.at("name").get<std::string>());
         });
  accounts.Examples({"fulmen accounts backup ledger-tuesday.db --accounts /tmp/ledger.db"});
}

void AddPrices(Command& program) {
  Command& prices = program.AddCommand("prices", "What a million tokens cost");
  auto set = std::make_shared<Administration>();
  Command& setting = prices.AddCommand("set", "Set the prices of a model in one currency");
  AddArgument(setting, set, "MODEL", "model", "Its name, as the server calls it").Required();
  AddArgument(setting, set, "--input PRICE", "input", "Of a million tokens of input").Required();
  AddArgument(setting, set, "--output PRICE", "output", "Of the answer, reasoning included")
      .Required();
  AddArgument(setting, set, "--cached PRICE", "cached", "Of input that was read before")
      .Default("as before, else that of input, as of the next");
  AddArgument(setting, set, "--image PRICE", "image", "Of an image's tokens");
  AddArgument(setting, set, "--currency CODE", "currency", "Of these prices").Default("CNY");
  Finish(setting, set, "prices.set",
         "fulmen prices set fulmen-nano --input 1 --cached 0.2 --output 8 --accounts "
         "/tmp/ledger.db",
         [](const Json& answer) { PrintTable(Json::array({answer}), ""); });
  auto list = std::make_shared<Administration>();
  Command& listing = prices.AddCommand("list", "List the prices of all models");
  Finish(listing, list, "prices", "fulmen prices list --accounts /tmp/ledger.db",
         TellsTable("no model has a price"));
  prices.Examples({"fulmen prices list --accounts /tmp/ledger.db"});
}

}  // namespace

void AddAccountsCommands(Command& program) {
  AddKeys(program);
  AddBalance(program);
  AddUsage(program);
  AddOrganisations(program);
  AddPrices(program);
  AddAccounts(program);
}

}  // namespace fulmen
