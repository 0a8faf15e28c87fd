// How many threads a program starts, for what shows in nothing else.
#pragma once

#include <string>
#include <vector>

namespace fulmen::testing {

// Runs `command` in `folder` to its end, its output thrown away, and counts the threads it starts
// besides its first. -1 when it ends in another way than with status 0. Not while another thread of
// the test waits for a child.
int CountThreads(std::vector<std::string> command, const std::string& folder);

}  // namespace fulmen::testing
