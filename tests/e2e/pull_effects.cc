// The options of fulmen pull; options_test.cc has the host.
#include "tests/e2e/option_effects.h"

namespace fulmen::testing {

Effects PullEffects() {
  const std::string base = "acme/tiny";
  return {
      {"--revision", base, base + " --revision v1"},
      {"--include", base, base + " --include *.md"},
      {"--exclude", base, base + " --exclude *.safetensors"},
      {"--out", base, base + " --out elsewhere"},
      {"--token-file", "acme/gated", "acme/gated --token-file ../in/token"},
      {"--dry-run", base, base + " --dry-run"},
      {"--json", base, base + " --json"},
  };
}

}  // namespace fulmen::testing
