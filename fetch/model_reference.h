// The name of a model on a host, as it is typed.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

struct ModelReference {
  std::string owner;
  std::string name;
  std::string file;  // of the model, or a pattern for some; empty: what the model needs

  std::string model() const { return owner + "/" + name; }
};

// OWNER/NAME or OWNER/NAME:FILE. OWNER and NAME are 1 to 96 letters, digits, -, _ and . each, of
// which the first is no dot, so they are safe as names of folders.
Result<ModelReference> ParseModelReference(std::string_view text);

}  // namespace fulmen
