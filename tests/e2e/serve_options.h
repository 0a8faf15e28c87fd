// What shows that an option of `fulmen serve` has an effect.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/e2e/served.h"

namespace fulmen::testing {

struct Shown {
  Words options;               // one, or two that go together
  std::function<void()> show;  // fails where they do nothing
};

// Those that say who may ask, and how.
std::vector<Shown> NetworkOptions();
// Those that say which images are taken.
std::vector<Shown> ImageOptions();

// What is learnt of a server by asking it.
using Ask = std::function<std::string(const Served&)>;
// Expects `without` of a server without the option, and `with` of one that has it.
std::function<void()> Differs(Words option, Ask ask, std::string without, std::string with);

// Expects that it ends at once with this status, and with a sentence that begins so.
void ExpectRefused(const Words& options, const std::string& sentence, int status = 2);

// A server without any option, one for all tests.
const Served& Plain();
// A new folder, for a server's own.
std::string NewFolder();
// Writes a file into the folder of all tests, and returns its path.
std::string InFolder(const std::string& name, const std::string& text);
// A port that was free a moment ago.
std::string FreePort();

}  // namespace fulmen::testing
