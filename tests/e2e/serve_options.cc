#include "tests/e2e/serve_options.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <utility>

#include "base/file_io.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

const TemporaryFolder& Folder() {
  static const TemporaryFolder folder;
  return folder;
}

}  // namespace

std::function<void()> Differs(Words option, Ask ask, std::string without, std::string with) {
  return [option = std::move(option), ask = std::move(ask), without = std::move(without),
          with = std::move(with)] {
    EXPECT_EQ(ask(Plain()), without);
    const Served server(NewFolder(), option);
    EXPECT_EQ(ask(server), with);
  };
}

void ExpectRefused(const Words& options, const std::string& sentence, int status) {
  Words command = {"env", "FULMEN_SESSIONS=" + NewFolder() + "/sessions.db", FulmenBinary(),
                   "serve"};
  command.insert(command.end(), options.begin(), options.end());
  const ProgramResult result = RunProgram(command);
  EXPECT_EQ(result.exit_code, status) << result.err;
  EXPECT_TRUE(result.err.starts_with("fulmen: " + sentence)) << result.err;
}

const Served& Plain() {
  static const Served server(NewFolder());
  return server;
}

std::string NewFolder() {
  static std::atomic<int> number = 0;
  std::string folder = Folder() / std::to_string(++number);
  std::filesystem::create_directories(folder);
  return folder;
}

std::string InFolder(const std::string& name, const std::string& text) {
  EXPECT_TRUE(WriteFileAtomically(Folder() / name, text));
  return Folder() / name;
}

std::string FreePort() { return std::to_string(Served(NewFolder()).port()); }

}  // namespace fulmen::testing
