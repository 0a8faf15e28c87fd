// The options of fulmen eval.
#include "tests/e2e/option_effects.h"

namespace fulmen::testing {
namespace {

Effects LogitsEffects() {
  const std::string base = "--tokens ../in/ids.json --out out ";
  const std::string model = "-m ../in/model " + base;
  const std::string look = "-m ../in/vl.gguf --tokens ../in/image-ids.json --last 1 --out out ";
  return {
      {"--model", base, model},
      {"--kernels", model + "--kernels ref", model + "--kernels cpu"},
      {"--tokens", model, "-m ../in/model --out out --tokens ../in/other-ids.json"},
      {"--out", model, "-m ../in/model --tokens ../in/ids.json --out other"},
      {"--last", model, model + "--last 1"},
      {"--mmproj", look, look + "--mmproj ../in/vision.gguf"},
      {"--hidden", model, model + "--hidden"},
      {"--state", model, model + "--state"},
      {"--experts", model, model + "--experts"},
      {"--kv-type", model, model + "--kv-type bf16"},
  };
}

Effects GenerateEffects() {
  const std::string base = "--tokens ../in/ids.json ";
  const std::string nano = "--tokens ../in/chat-ids.json -n 60 ";
  const std::string chance = "--tokens ../in/chat-ids.json -n 200 --temperature 3 --seed 7 ";
  const std::string look = "-m ../in/vl.gguf --tokens ../in/image-ids.json -n 2 ";
  Effects effects = {
      {"--model", base, base + "-m ../in/model"},
      {"--tokens", "-m ../in/model " + base, "-m ../in/model --tokens ../in/other-ids.json"},
      {"--kv-type", chance, chance + "--kv-type bf16"},
      {"--mmproj", look, look + "--mmproj ../in/vision.gguf"},
      {"--max-tokens", base, base + "-n 3"},
      {"--json", base, base + "--json"},
      {"--stop-at-eos", nano, nano + "--stop-at-eos"},
  };
  Append(effects, SamplingEffects(base + "-m ../in/model"));
  return effects;
}

Effects PerplexityEffects() {
  const std::string base = "-m ../in/model --json -f ../in/book.txt ";
  return {
      {"--model", "-f ../in/book.txt", "-f ../in/book.txt -m ../in/model"},
      {"--file", "-m ../in/model -f ../in/short.txt", "-m ../in/model -f ../in/book.txt"},
      {"--kv-type", base, base + "--kv-type bf16"},
      {"--context", base, base + "--context 4"},
      {"--against", base, base + "--against ../in/model"},
      {"--kernels", base, base + "--kernels ref"},
      {"--json", "-m ../in/model -f ../in/book.txt", base},
  };
}

Effects MasksEffects() {
  const std::string base = "--json --cases ../in/cases.jsonl ";
  return {
      {"--model", base, base + "-m ../in/model"},
      {"--cases", base, "--json --cases ../in/twice.jsonl", "", "\"schemas\":2,"},
      {"--json", "--cases ../in/cases.jsonl", base, "", "\"passing\":0"},
      {"--failures", base, base + "--failures", "", "\"a: a valid"},
  };
}

}  // namespace

std::map<std::string, Effects> EvalEffects() {
  return {
      {"eval", {}},
      {"eval logits", LogitsEffects()},
      {"eval generate", GenerateEffects()},
      {"eval perplexity", PerplexityEffects()},
      {"eval masks", MasksEffects()},
  };
}

}  // namespace fulmen::testing
