#include "cli/admin_client.h"

#include <filesystem>

#include "accounts/admin.h"
#include "base/ascii.h"
#include "base/console.h"
#include "base/file_io.h"
#include "call/api.h"
#include "call/web_client.h"
#include "cli/accounts.h"
#include "cli/environment.h"

namespace fulmen {
namespace {

constexpr const char* kAccountsVariable = "FULMEN_ACCOUNTS";
constexpr const char* kKeyVariable = "FULMEN_ADMIN_KEY";

std::string DatabaseOf(const AdminTarget& target) {
  if (!target.accounts.empty() || !target.url.empty()) return target.accounts;
  return EnvironmentVariable(kAccountsVariable);
}

Result<Json> CallLedger(const std::string& database, const AdminOperation& operation,
                        const Json& arguments, bool makes) {
  std::error_code error;
  if (!makes && !IsServerDatabase(database) && !std::filesystem::exists(database, error)) {
    return Fail(ErrorCode::kNotFound,
                "{}: there is no ledger yet; `fulmen serve --accounts` or `fulmen keys create` "
                "makes one",
                database);
  }
  auto ledger = OpenLedger(database);
  if (!ledger && ledger.error().code == ErrorCode::kUnavailable) {
    return Fail(ErrorCode::kUnavailable, "{}; where that is a server, ask it with --url",
                ledger.error().message);
  }
  if (!ledger) return tl::unexpected<Error>(std::move(ledger).error());
  return operation.run(**ledger, arguments);
}

Result<std::string> ReadAdminKey(const AdminTarget& target) {
  std::string key;
  if (target.key_file.empty()) {
    key = Trimmed(EnvironmentVariable(kKeyVariable));
  } else {
    FULMEN_ASSIGN(const std::string text, ReadFile(target.key_file));
    key = Trimmed(text);
  }
  if (!key.empty()) return key;
  return Fail(ErrorCode::kInvalidArgument,
              "an administrator's key is expected in {} or in the file of --key-file, found none",
              kKeyVariable);
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool plain = std::isalnum(byte) != 0 || letter == '-' || letter == '_' || letter == '.';
    escaped += plain ? std::string(1, letter) : fmt::format("%{:02X}", byte);
  }
  return escaped;
}

// The address of an operation, with what of the arguments goes there; the others stay.
std::string AddressOf(const std::string& url, const AdminOperation& operation, Json& arguments) {
  std::string path = operation.path;
  if (const size_t id = path.find("{id}"); id != std::string::npos) {
    path.replace(id, 4, Escaped(arguments.at("id").get<std::string>()));
    arguments.erase("id");
  }
  if (std::string_view(operation.method) == "GET") {
    char before = '?';
    for (const auto& [name, value] : arguments.items()) {
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      path += fmt::format("{}{}={}", std::exchange(before, '&'), name, Escaped(text));
    }
  }
  return std::string(url.substr(0, url.find_last_not_of('/') + 1)) + path;
}

Result<Json> CallServer(const AdminTarget& target, const AdminOperation& operation,
                        Json arguments) {
  FULMEN_ASSIGN(const std::string key, ReadAdminKey(target));
  if (target.url.starts_with("http:") && !IsThisMachine(target.url)) {
    Say("fulmen: {} has no TLS: others on the way can read the key\n", target.url);
  }
  WebRequest request;
  request.url = AddressOf(target.url, operation, arguments);
  request.headers = {"Authorization: Bearer " + key, "Content-Type: application/json"};
  if (std::string_view(operation.method) == "POST") request.body = arguments.dump();
  WebClient client([] { return false; });
  const auto reply = client.Send(request, [](std::string_view) { return Status(); });
  if (!reply) return tl::unexpected<Error>(reply.error().error);
  constexpr int kOk = 200;
  if (reply->status != kOk) {
    return tl::unexpected<Error>(ErrorOfStatus(reply->status, reply->body).error);
  }
  return ParseJson(reply->body, target.url);
}

}  // namespace

void AddAdminTarget(Command& command, AdminTarget& target) {
  AddAccountsOption(command, target.accounts)
      .Default(fmt::format("${}", kAccountsVariable))
      .Excludes({"--url"});
  command.Add("--url URL", target.url,
              "The server that has the ledger open, as http://127.0.0.1:8080");
  command.Add("--key-file FILE", target.key_file, "A file with an administrator's key, for --url")
      .Default(fmt::format("${} has the key", kKeyVariable))
      .Needs({"--url"});
  command.Check([&target]() -> Status {
    if (!target.url.empty() || !DatabaseOf(target).empty()) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "a ledger is needed: name its database with --accounts or {}, or the server that "
                "has it open with --url",
                kAccountsVariable);
  });
}

Result<Json> CallAdmin(const AdminTarget& target, const std::string& operation,
                       const Json& arguments, bool makes) {
  const AdminOperation& found = FindAdminOperation(operation);
  if (!target.url.empty()) return CallServer(target, found, arguments);
  return CallLedger(DatabaseOf(target), found, arguments, makes);
}

}  // namespace fulmen
