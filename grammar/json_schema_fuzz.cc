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
#include "grammar/testing/fuzz_input.h"

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

void Read(std::string_view source, std::string_view text) {
  const Result<Json> schema = ParseJson(source, "schema");
  if (!schema) return;
  std::optional<Machine> lenient = Compile(*schema, false);
  std::optional<Machine> strict = Compile(*schema, true);
  const size_t read_leniently = lenient ? testing::CheckedWalk(*lenient, text) : 0;
  const size_t read_strictly = strict ? testing::CheckedWalk(*strict, text) : 0;
  const bool both = lenient && strict && !lenient->exhausted() && !strict->exhausted();
  FULMEN_CHECK(!both || read_leniently == read_strictly, "{} bytes leniently, {} strictly",
               read_leniently, read_strictly);
}

}  // namespace
}  // namespace fulmen

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fulmen::testing::FuzzInput input(data, size);
  fulmen::Read(input.source, input.text);
  return 0;
}
