#include "fetch/model_reference.h"

#include <algorithm>

#include "base/printable.h"
#include "fetch/file_name.h"

namespace fulmen {
namespace {

bool IsName(std::string_view name) {
  constexpr size_t kLongest = 96;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kLongest && name[0] != '.' &&
         std::ranges::all_of(name, allowed);
}

}  // namespace

Result<ModelReference> ParseModelReference(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view model = text.substr(0, colon);
  const size_t slash = std::min(model.find('/'), model.size());
  ModelReference reference;
  reference.owner = model.substr(0, slash);
  reference.name = model.substr(std::min(slash + 1, model.size()));
  if (!IsName(reference.owner) || !IsName(reference.name)) {
    return Fail(ErrorCode::kInvalidArgument,
                "should be OWNER/NAME or OWNER/NAME:FILE, as in MiniMaxAI/MiniMax-M1-80k, found "
                "\"{}\"",
                Printable(text, 200));
  }
  if (colon < text.size()) {
    reference.file = text.substr(colon + 1);
    FULMEN_TRY(CheckFileName(reference.file));
  }
  return reference;
}

}  // namespace fulmen
