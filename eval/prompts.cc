#include "eval/prompts.h"

namespace fulmen {
namespace {

Result<std::vector<int32_t>> ParseIds(const Json& json, const Config& config,
                                      const std::string& where) {
  if (!json.is_array() || json.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected a list of at least one token id", where);
  }
  if (static_cast<int64_t>(json.size()) > config.max_position) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} tokens do not fit the context limit of {}",
                where, json.size(), config.max_position);
  }
  std::vector<int32_t> ids;
  ids.reserve(json.size());
  for (const Json& id : json) {
    const std::optional<int64_t> token = IntegerIn(id, 0, config.vocab_size - 1);
    if (!token) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: entry {} is {}, expected a token id from 0 to {} (the model's vocabulary)",
                  where, ids.size(), Shown(id), config.vocab_size - 1);
    }
    ids.push_back(static_cast<int32_t>(*token));
  }
  return ids;
}

}  // namespace

Result<std::vector<NamedIds>> ParsePrompts(const Json& json, const Config& config,
                                           const std::string& where) {
  std::vector<NamedIds> prompts;
  if (!json.is_object()) {
    FULMEN_ASSIGN(std::vector<int32_t> ids, ParseIds(json, config, where));
    prompts.push_back({"tokens", std::move(ids)});
    return prompts;
  }
  if (json.empty()) return Fail(ErrorCode::kInvalidArgument, "{}: no prompts in the object", where);
  for (const auto& [name, list] : json.items()) {
    FULMEN_ASSIGN(std::vector<int32_t> ids,
                  ParseIds(list, config, fmt::format("{}: {}", where, name)));
    prompts.push_back({name, std::move(ids)});
  }
  return prompts;
}

}  // namespace fulmen
