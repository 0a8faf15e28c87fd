// What is in dist/ agrees with the program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

std::set<std::string> SetOfLines(const std::string& text) {
  std::istringstream in(text);
  std::set<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.insert(line);
  return lines;
}

std::string RunScript(const std::string& script, const std::string& argument) {
  const ProgramResult result = RunProgram({"bash", "-c", script, "bash", argument});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(Packaging, TheContainerHasTheLibrariesOfTheProgram) {
  if (ReadFileOrDie("/etc/os-release").find("VERSION_ID=\"12\"") == std::string::npos) {
    GTEST_SKIP() << "the container is a Debian 12";
  }
  // Files that it names itself; theirs come with their packages.
  std::set<std::string> needed = SetOfLines(RunScript(R"(
set -euo pipefail
for name in $(readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
  file=$(ldd "$1" | awk -v name="$name" '$1 == name {print $3}')
  file=$(readlink -f "$file")
  { dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}"; } | cut -d: -f1
done)",
                                                      FulmenBinary()));
  needed.erase("libc6");                               // in every Debian
  needed.erase("libopenmpi3");                         // not in the container's build
  std::erase_if(needed, [](const std::string& each) {  // of builds with sanitizers
    return each.starts_with("libasan") || each.starts_with("libubsan") ||
           each.starts_with("libtsan");
  });
  EXPECT_EQ(SetOfLines(RunScript("\"$1\" libraries", SourcePath("dist/container-build.sh"))),
            needed);
}

// Each option stands in it once, in use or commented out, and so do all values that it shows.
TEST(Packaging, TheConfigHasEveryOption) {
  const std::string config = ReadFileOrDie(SourcePath("dist/fulmen.toml"));
  std::set<std::string> names;
  std::istringstream lines(config);
  const std::regex setting("(# )?([a-z-]+) = .*");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, setting)) names.insert("--" + match[2].str());
  }
  names.insert({"--help", "--config"});
  const CommandHelp help = HelpOf({"serve"});
  EXPECT_EQ(names, std::set<std::string>(help.options.begin(), help.options.end()));
}

TEST(Packaging, TheUnitIsGood) {
  if (!std::filesystem::exists("/usr/bin/systemd-analyze")) GTEST_SKIP() << "no systemd";
  const TemporaryFolder folder;
  const std::string script = R"(
set -e
sed "s|/usr/local/bin/fulmen|$1|" "$2" > "$3/fulmen.service"
systemd-analyze verify --man=no "$3/fulmen.service"
systemd-analyze security --offline=yes --threshold=20 "$3/fulmen.service")";
  const ProgramResult result = RunProgram({"bash", "-c", script, "bash", FulmenBinary(),
                                           SourcePath("dist/fulmen.service"), folder.path()});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

}  // namespace
}  // namespace fulmen::testing
