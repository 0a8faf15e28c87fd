// Tells one model from another without reading all of it.
#pragma once

#include <string>

#include "model/weights.h"

namespace fulmen {

// SHA-256, in hexadecimal, over the config, the names, types and shapes of all tensors and the
// first, middle and last bytes of each: what is kept of a model's sequences is of use with no
// other. The same for a model that was moved or loaded anew; another after a change of any kind
// that training, quantizing or merging makes.
std::string ModelIdentity(const Model& model);

}  // namespace fulmen
