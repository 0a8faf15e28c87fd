// A host of models on this machine, for tests: fetch/testing/model_host.py, and what it serves.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file_io.h"
#include "base/json.h"
#include "base/random.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {

class LocalHost {
 public:
  LocalHost() {
    std::array<int, 2> in;
    std::array<int, 2> out;
    FULMEN_CHECK(pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0, "no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::vector<std::string> words = {"python3", "-S", SourcePath("fetch/testing/model_host.py"),
                                      folder_.path()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int failed =
        posix_spawnp(&process_, "python3", &actions, nullptr, arguments.data(), environ);
    FULMEN_CHECK(failed == 0, "no python3");
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    char c = 0;
    while (read(out[0], &c, 1) == 1 && c != '\n') port_ += c;
    close(out[0]);
    FULMEN_CHECK(!port_.empty(), "the host does not start");
  }
  ~LocalHost() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    close(input_);
  }
  LocalHost(const LocalHost&) = delete;
  LocalHost& operator=(const LocalHost&) = delete;

  std::string address() const { return "http://127.0.0.1:" + port_; }

  // Adds a file to what is served; "acme/tiny/main/config.json".
  void Serve(const std::string& path, const std::string& text) const {
    const std::string whole = folder_ / ("models/" + path);
    std::filesystem::create_directories(std::filesystem::path(whole).parent_path());
    Write(whole, text);
  }
  void Withdraw(const std::string& path) const {
    std::filesystem::remove_all(folder_ / ("models/" + path));
  }
  // How it misbehaves from now on, as JSON; see model_host.py.
  void Misbehave(const std::string& rules) const {
    Write(folder_ / "rules.new", rules);
    std::filesystem::rename(folder_ / "rules.new", folder_ / "rules.json");
  }
  // As if it were new.
  void Reset() const {
    for (const char* name : {"models", "rules.json", "log.jsonl", "gates"}) {
      std::filesystem::remove_all(folder_ / name);
    }
  }
  // Whoever has not this token gets no file of the model.
  void Gate(const std::string& model, const std::string& token) const {
    const std::string path = folder_ / ("gates/" + model);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    Write(path, token);
  }

  // The requests since the last call.
  std::vector<Json> TakeLog() const {
    std::vector<Json> lines;
    std::istringstream log(
        std::filesystem::exists(folder_ / "log.jsonl") ? ReadFileOrDie(folder_ / "log.jsonl") : "");
    for (std::string line; std::getline(log, line);) lines.push_back(*ParseJson(line, "log"));
    std::filesystem::remove(folder_ / "log.jsonl");
    return lines;
  }

 private:
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  const TemporaryFolder folder_;
  pid_t process_ = -1;
  int input_ = -1;  // it ends when this is closed, whatever ends the test
  std::string port_;
};

// Bytes without a pattern.
inline std::string RandomBytes(size_t size, uint64_t seed) {
  RandomStream random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

// What lies in a folder but what pulls keep for themselves, by path.
inline std::map<std::string, std::string> FilesIn(const std::string& folder) {
  std::map<std::string, std::string> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (!entry.is_regular_file() || name.starts_with(".fulmen-pull")) continue;
    files[name] = ReadFileOrDie(entry.path().string());
  }
  return files;
}

}  // namespace fulmen::testing
