// The values that a golden file has under a name.
#pragma once

#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace fulmen::testing {

template <class T>
std::vector<T> Values(const Checkpoint& expected, const std::string& name) {
  const TensorView& view = expected.tensors().at(name);
  const T* data = reinterpret_cast<const T*>(view.data);
  return std::vector<T>(data, data + view.elements());
}

}  // namespace fulmen::testing
