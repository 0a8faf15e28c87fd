// Options of training on pictures.
#include "tests/e2e/option_effects.h"

namespace fulmen::testing {

Effects VisionEffects() {
  const std::string base = "../in/see.toml --out out ";
  const auto field = [&](const std::string& name, const std::string& value) -> Effect {
    return {"--vision." + name, base, base + "--vision." + name + " " + value};
  };
  // The data were cut for the config's.
  const auto geometry = [&](const std::string& name, const std::string& value) -> Effect {
    return {"--vision." + name, base + "--vision." + name + " " + value, base};
  };
  return {
      field("width", "8"),          field("heads", "4"),
      field("layers", "2"),         field("intermediate_size", "16"),
      geometry("tile", "16"),       geometry("patch", "2"),
      geometry("grids", "[[2,1]]"),
  };
}

Effects ImageDataEffects() {
  const std::string data = "../in/pictures.jsonl --chat-format vl-01 --out out ";
  return {{"--run", data + "-m ../in/model", data + "--run ../in/see.toml"}};
}

}  // namespace fulmen::testing
