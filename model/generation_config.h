// generation_config.json: how a model's authors advise to generate with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/model_files.h"
#include "model/json_fields.h"

namespace fulmen {

// What the file says; absent where it says nothing. Other keys of the file are not read.
struct GenerationConfig {
  std::vector<int32_t> eos_ids;       // end an answer, beside those of the config
  std::vector<int32_t> suppressed;    // are never to be produced
  std::optional<double> temperature;  // 0 where `do_sample` is false
  std::optional<int64_t> top_k;       // 0: off
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<int64_t> max_new_tokens;
};

// Untrusted input: values of other types or out of range, and end tokens outside of a vocabulary of
// `vocab_size`, are errors that name the field. `where` names the file.
Result<GenerationConfig> ParseGenerationConfig(const Json& json, int64_t vocab_size,
                                               const std::string& where);
// Of a model's files; says nothing when they have none.
Result<GenerationConfig> ReadGenerationConfig(const ModelFiles& files, int64_t vocab_size);

// `name`, as eos_token_id in either file: a token, a list of them or none.
std::vector<int32_t> ReadTokenIds(JsonFields& fields, std::string_view name, int64_t vocab_size);

}  // namespace fulmen
