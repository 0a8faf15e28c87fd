// Where what the program keeps from one run to the next lies.
#pragma once

#include <string>

namespace fulmen {

// The file `name` in $XDG_STATE_HOME/fulmen, or else in ~/.local/state/fulmen; "" where neither can
// be told. Neither file nor folder need be there.
std::string StatePath(const std::string& name);

}  // namespace fulmen
