#include "engine/model_identity.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "engine/digest.h"
#include "model/config.h"

namespace fulmen {

std::string ModelIdentity(const Model& model) {
  constexpr size_t kSample = 1024;
  FULMEN_CHECK(model.checkpoint != nullptr, "a model without files has no identity");
  std::string all = ConfigToJson(model.config, "").dump();
  if (model.config.vision) all += PreprocessorConfigToJson(*model.config.vision).dump();
  for (const auto& [name, view] : model.checkpoint->tensors()) {
    all += fmt::format("{} {} {}\n", name, DTypeName(view.dtype), fmt::join(view.shape, "x"));
    const std::string_view bytes(reinterpret_cast<const char*>(view.data), view.bytes());
    const size_t sample = std::min(kSample, bytes.size());
    for (const size_t at : {size_t{0}, (bytes.size() - sample) / 2, bytes.size() - sample}) {
      all += bytes.substr(at, sample);
    }
    all = Sha256(all);
  }
  return Hex(all);
}

}  // namespace fulmen
