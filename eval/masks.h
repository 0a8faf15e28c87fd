// How well and how fast JSON Schemas constrain: the protocol of MaskBench (guidance-ai,
// jsonschemabench/maskbench).
//
// A case is a schema and instances that are valid or not. An instance is accepted if each token of
// its text, as Python's json.dumps(data, ensure_ascii=False) writes it, is in the mask before it,
// and the text may end behind the last. Properties must come in the grammar's order, so an instance
// that is refused is tried again with its properties, at all depths, put in that order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "grammar/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

struct MaskBenchReport {
  int64_t schemas = 0;
  int64_t passing = 0;  // compiled, and right about all instances
  int64_t compile_errors = 0;
  int64_t valid_refused = 0;       // schemas that refuse some valid instance
  int64_t invalid_accepted = 0;    // schemas that accept some invalid one at its end
  int64_t invalid_to_the_end = 0;  // schemas that allow all tokens of an invalid one, as the public
                                   // runner counts
  int64_t reordered = 0;           // instances
  int64_t tokens = 0;
  std::map<std::string, int64_t> errors;  // compile errors by keyword
  std::vector<double> mask_us;            // one mask, and going on by one token
  std::vector<double> compile_us;         // one schema
  std::vector<std::string> failures;      // "ID: what", for the schemas that do not pass
};

// Adds the case {"id", "schema", "tests": [{"valid", "data"}]} to the report. Fails if it is not of
// that form.
Status MeasureMasks(const Json& mask_case, const Tokenizer& tokenizer,
                    const std::shared_ptr<const TokenTrie>& tokens, MaskBenchReport& report);

// {"schemas", "passing", …, "mask_us": {"average", "p50", …}, "compile_us": …}
Json ToJson(const MaskBenchReport& report);

}  // namespace fulmen
