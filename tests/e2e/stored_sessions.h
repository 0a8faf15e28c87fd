// A session store for tests of commands.
#pragma once

#include <string>

namespace fulmen::testing {

// Makes a store at `path` with the sessions "work" (two turns, used last) and "plan" (one turn,
// which expires in the year 9999), and in the namespace "org" another "work", of no turn.
void WriteSessions(const std::string& path);

// What a store holds besides times, a line for each session.
std::string DescribeSessions(const std::string& path);

}  // namespace fulmen::testing
