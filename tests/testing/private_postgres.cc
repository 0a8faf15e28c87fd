#include "tests/testing/private_postgres.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <pqxx/pqxx>
#include <thread>

#include "base/check.h"
#include "base/file_io.h"

// libpqxx 6.4 forgets the result of a statement whose connection is lost: some kilobytes each time.
extern "C" const char* __lsan_default_suppressions();  // NOLINT: the sanitizer's name
extern "C" const char* __lsan_default_suppressions() { return "leak:libpq.so"; }  // NOLINT

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

// The folder of its newest version, as Debian has it; empty where there is none.
std::string FindPrograms() {
  std::string found;
  std::error_code error;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", error)) {
    const std::string programs = version.path() / "bin";
    if (programs > found && fs::exists(programs + "/initdb")) found = programs;
  }
  return found;
}

void Do(const std::string& command) {
  FULMEN_CHECK(std::system(command.c_str()) == 0, "{} failed", command);
}

}  // namespace

PrivatePostgres* PrivatePostgres::Shared() {
  static const std::unique_ptr<PrivatePostgres> shared = []() -> std::unique_ptr<PrivatePostgres> {
    const std::string programs = FindPrograms();
    if (programs.empty()) return nullptr;
    char folder[] = "/tmp/fulmen-postgres-XXXXXX";  // short, since a socket's name has to be
    FULMEN_CHECK(mkdtemp(folder) != nullptr, "no folder {}", folder);
    return std::make_unique<PrivatePostgres>(programs, folder);
  }();
  return shared.get();
}

PrivatePostgres::PrivatePostgres(std::string programs, std::string folder)
    : programs_(std::move(programs)), folder_(std::move(folder)) {
  if (const passwd* user = getpwnam("postgres"); geteuid() == 0 && user != nullptr) {
    FULMEN_CHECK(chown(folder_.c_str(), user->pw_uid, user->pw_gid) == 0, "chown {}", folder_);
  }
  Do(fmt::format("{} -D {}/data -U postgres -A trust -E UTF8 --locale=C --no-sync >{}/log 2>&1",
                 Command("initdb"), folder_, folder_));
  Start();
}

PrivatePostgres::~PrivatePostgres() {
  Kill();
  std::error_code error;
  fs::remove_all(folder_, error);
}

// It refuses to be root.
std::string PrivatePostgres::Command(const std::string& program) const {
  const char* as_user = geteuid() == 0
                            ? "exec setpriv --reuid=postgres --regid=postgres --clear-groups"
                              " --pdeathsig=QUIT "
                            : "exec ";
  return fmt::format("cd {}; {}{}/{}", folder_, as_user, programs_, program);
}

std::string PrivatePostgres::Url(const std::string& database) const {
  return fmt::format("postgresql:///{}?host={}&user=postgres", database, folder_);
}

void PrivatePostgres::Start() {
  const std::string command = fmt::format(
      "{} -D {}/data -k {} -c listen_addresses='' -c max_connections=60 -c shared_buffers=32MB "
      "-c recovery_init_sync_method=syncfs "
      ">>{}/log 2>&1 </dev/null",
      Command("postgres"), folder_, folder_, folder_);
  for (int tries = 0; tries < 600; ++tries) {
    if (server_ == 0) {
      server_ = fork();
      FULMEN_CHECK(server_ >= 0, "fork");
      if (server_ == 0) {
        setpgid(0, 0);
        execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
        _exit(127);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // Right after a crash it may find that a process of the old one is not gone yet.
    if (waitpid(server_, nullptr, WNOHANG) == server_) server_ = 0;
    try {
      const pqxx::connection connection(Url("postgres"));
      return;
    } catch (const pqxx::broken_connection&) {
    }
  }
  FULMEN_CHECK(false, "PostgreSQL does not start: {}",
               ReadFile(folder_ + "/log").value_or("it has no log"));
}

void PrivatePostgres::Kill() {
  if (server_ == 0) return;
  Signal(SIGKILL);
  waitpid(server_, nullptr, 0);
  server_ = 0;
}

void PrivatePostgres::Signal(int signal) const {
  // Each of its processes has a group of its own, and one may be gone meanwhile.
  Do(fmt::format("ps -o pid= --ppid {} | xargs kill -{} {} 2>/dev/null; true", server_, signal,
                 server_));
}

std::string PrivatePostgres::NewDatabase() {
  const std::string name = fmt::format("ledger{}", ++databases_);
  pqxx::connection connection(Url("postgres"));
  pqxx::nontransaction(connection).exec("CREATE DATABASE " + name);
  return Url(name);
}

std::string PrivatePostgres::Dump(const std::string& database) const {
  Do(fmt::format("{} -f {}/dump '{}'", Command("pg_dump"), folder_, database));
  return ReadFile(folder_ + "/dump").value();
}

}  // namespace fulmen::testing
