#include "tests/e2e/served.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "base/check.h"
#include "base/status.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

// For one byte, or for a server to start or end: much longer than any takes.
constexpr int kPatienceSeconds = 60;

pid_t Start(const Words& command, const std::string& folder, const std::string& err_path) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  FULMEN_CHECK(error == 0, "cannot start {}: {}", command[0], ErrnoMessage(error));
  return pid;
}

bool Has(const Words& words, std::string_view option) {
  return std::ranges::find(words, option) != words.end();
}

std::string After(const Words& words, std::string_view option) {
  const auto found = std::ranges::find(words, option);
  return found == words.end() || found + 1 == words.end() ? "" : found[1];
}

Json JsonOf(const RawAnswer& answer) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  Json json = Json::parse(answer.body, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << answer.body;
  return json;
}

}  // namespace

Served::Served(const std::string& folder, Words options, const Words& variables) {
  static std::atomic<int> number = 0;
  err_path_ = fmt::format("{}/err-{}", folder, ++number);
  Words command = {"env", "FULMEN_SESSIONS=" + folder + "/sessions.db"};
  command.insert(command.end(), variables.begin(), variables.end());
  command.insert(command.end(), {FulmenBinary(), "serve"});
  if (!Has(options, "--port") && !Has(options, "--config")) {
    options.insert(options.end(), {"--port", "0"});
  }
  if (!Has(options, "--threads")) options.insert(options.end(), {"--threads", "1"});
  command.insert(command.end(), options.begin(), options.end());
  pid_ = Start(command, folder, err_path_);
  if (Has(options, "--quiet")) {  // then the port was named
    port_ = static_cast<uint16_t>(std::stoi(After(options, "--port")));
  }
  constexpr std::string_view kAnswers = " answers at ";
  for (int tries = 0; tries < kPatienceSeconds * 200 && port_ == 0; ++tries) {
    const std::string err = Err();
    const size_t greeting = err.find(kAnswers);
    if (greeting != std::string::npos && err.find('\n', greeting) != std::string::npos) {
      const size_t begin = greeting + kAnswers.size();
      url_ = err.substr(begin, err.find('\n', begin) - begin);
      port_ = static_cast<uint16_t>(std::stoi(url_.substr(url_.rfind(':') + 1)));
    }
    int status = 0;
    if (port_ == 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      break;
    }
    usleep(5000);
  }
  EXPECT_TRUE(pid_ > 0 && port_ > 0) << "no greeting: " << Err();
}

Served::~Served() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string Served::Err() const {
  return access(err_path_.c_str(), R_OK) == 0 ? ReadFileOrDie(err_path_) : "";
}

std::string Served::Request(std::string_view line, std::string_view body,
                            std::string_view headers) const {
  std::string request = fmt::format("{} HTTP/1.1\r\n{}", line, headers);
  if (headers.find("Host: ") == std::string_view::npos) {
    request += fmt::format("Host: localhost:{}\r\n", port_);
  }
  if (!body.empty()) {
    request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  return request.append("\r\n").append(body);
}

RawClient Served::Open(std::string_view line, std::string_view body,
                       std::string_view headers) const {
  RawClient client(port_, 0, kPatienceSeconds);
  client.Send(Request(line, body, headers));
  return client;
}

RawAnswer Served::Ask(std::string_view line, std::string_view body,
                      std::string_view headers) const {
  return Open(line, body, headers).Read(!line.starts_with("HEAD "));
}

Json Served::Get(const std::string& path, std::string_view headers) const {
  return JsonOf(Ask("GET " + path, "", headers));
}

Json Served::Post(const std::string& path, const Json& body, std::string_view headers) const {
  return JsonOf(Ask("POST " + path, body.dump(), headers));
}

double Served::Metric(const std::string& name) const {
  std::istringstream lines(Ask("GET /metrics").body);
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name)) sum += std::strtod(line.c_str() + line.rfind(' '), nullptr);
  }
  return sum;
}

void Served::Signal(int signal) const {
  FULMEN_CHECK(pid_ > 0, "the server has ended");  // or every process would hear it
  kill(pid_, signal);
}

int Served::Wait() {
  int status = 0;
  for (int tries = 0; tries < kPatienceSeconds * 200; ++tries) {
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    usleep(5000);
  }
  ADD_FAILURE() << "the server does not end";
  return -1;
}

int Served::End(int signal) {
  Signal(signal);
  return Wait();
}

Json ChatOf(const std::string& text, int max_tokens) {
  return {{"messages", {{{"role", "user"}, {"content", text}}}},
          {"max_tokens", max_tokens},
          {"temperature", 0}};
}

Json LongText(int tokens, bool stream) {
  return {{"prompt", "Once upon a time"},
          {"max_tokens", tokens},
          {"ignore_eos", true},
          {"stream", stream},
          {"temperature", 0}};
}

}  // namespace fulmen::testing
