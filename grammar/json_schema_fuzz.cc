// libFuzzer target: any bytes as a JSON Schema, taken strictly and not, and bytes to match: what
// follows the first line that says "---". From each place that they reach, the way to the end has
// to be accepted; where both grammars compile, what the strict one allows the other has to allow.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "grammar/json_schema.h"
#include "grammar/machine.h"

namespace fulmen {
namespace {

std::optional<Machine> Compile(const Json& schema, bool strict) {
  auto grammar = std::make_shared<Grammar>();
  std::vector<std::string> left_out;
  const auto start = AddJsonSchema(*grammar, schema, {.strict = strict}, left_out);
  FULMEN_CHECK(!strict || left_out.empty(), "{} is left out", left_out[0]);
  if (!start || !grammar->Finish(*start)) return std::nullopt;
  return Machine(std::move(grammar));
}

// How many of the bytes may come; from where each leads, the end can be reached.
size_t Walk(Machine& machine, std::string_view text) {
  Machine::State state = machine.start();
  size_t read = 0;
  for (;; ++read) {
    const Result<std::string> rest = machine.WayToEnd(state);
    FULMEN_CHECK(rest || machine.exhausted() || rest.error().code == ErrorCode::kUnsupported,
                 "no way to the end behind {}", text.substr(0, read));
    Machine::State end = state;
    for (const char byte : rest.value_or("").substr(0, 1000)) {
      end = machine.Next(end, static_cast<uint8_t>(byte));
    }
    FULMEN_CHECK(!rest || rest->size() > 1000 || machine.exhausted() || machine.Accepts(end),
                 "{} does not lead to the end", *rest);
    if (read == text.size()) break;
    const Machine::State next = machine.Next(state, static_cast<uint8_t>(text[read]));
    if (next == Machine::kDead) break;
    state = next;
  }
  return read;
}

void Read(std::string_view source, std::string_view text) {
  const Result<Json> schema = ParseJson(source, "schema");
  if (!schema) return;
  std::optional<Machine> lenient = Compile(*schema, false);
  std::optional<Machine> strict = Compile(*schema, true);
  const std::string_view begin = text.substr(0, 64);
  const size_t read_leniently = lenient ? Walk(*lenient, begin) : 0;
  const size_t read_strictly = strict ? Walk(*strict, begin) : 0;
  const bool both = lenient && strict && !lenient->exhausted() && !strict->exhausted();
  FULMEN_CHECK(!both || read_leniently == read_strictly, "{} bytes leniently, {} strictly",
               read_leniently, read_strictly);
}

}  // namespace
}  // namespace fulmen

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kSeparator = "\n---\n";
  const size_t end = input.find(kSeparator);
  const size_t begin = end == std::string_view::npos ? size : end + kSeparator.size();
  fulmen::Read(input.substr(0, end), input.substr(begin));
  return 0;
}
