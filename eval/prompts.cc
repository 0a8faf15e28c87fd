#include "eval/prompts.h"

#include "base/file_io.h"
#include "engine/image_reader.h"

namespace fulmen {
namespace {

Status CheckLength(int64_t tokens, const Config& config, const std::string& where) {
  if (tokens <= config.max_position) return {};
  return Fail(ErrorCode::kInvalidArgument, "{}: {} tokens do not fit the context limit of {}",
              where, tokens, config.max_position);
}

Result<std::vector<int32_t>> ParseIds(const Json& json, const Config& config,
                                      const std::string& where) {
  if (!json.is_array() || json.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected a list of at least one token id", where);
  }
  FULMEN_TRY(CheckLength(static_cast<int64_t>(json.size()), config, where));
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

Result<NamedPrompt> ParsePrompt(const std::string& name, const Json& json, const Config& config,
                                const std::string& where) {
  NamedPrompt prompt = {.name = name, .ids = {}};
  if (!json.is_object()) {
    FULMEN_ASSIGN(prompt.ids, ParseIds(json, config, where));
    return prompt;
  }
  if (!config.vision) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected a list of token ids, found an object with images, and the model "
                "reads text alone",
                where);
  }
  FULMEN_ASSIGN(prompt.ids, ParseIds(Member(json, "ids"), config, where + ": ids"));
  const Json& paths = Member(json, "images");
  if (!paths.is_array()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: images should list paths of picture files, found {}", where,
                paths.is_null() ? "nothing" : Shown(paths));
  }
  const ImageReader reader(*config.vision);
  std::vector<std::shared_ptr<const TiledImage>> images;
  for (const Json& path : paths) {
    if (!path.is_string()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: images should list paths of picture files, found {}", where, Shown(path));
    }
    const auto& file = path.get_ref<const std::string&>();
    FULMEN_ASSIGN(const std::string bytes, ReadFile(file));
    FULMEN_ASSIGN(images.emplace_back(), reader.ReadBytes(bytes, file));
  }
  auto placed = ExpandImages(images, config.vision->image_token, prompt.ids);
  if (!placed) return Fail(placed.error().code, "{}: {}", where, placed.error().message);
  prompt.images = *std::move(placed);
  FULMEN_TRY(CheckLength(std::ssize(prompt.ids), config, where));
  return prompt;
}

}  // namespace

Result<std::vector<NamedPrompt>> ParsePrompts(const Json& json, const Config& config,
                                              const std::string& where) {
  std::vector<NamedPrompt> prompts;
  if (!json.is_object()) {
    FULMEN_ASSIGN(prompts.emplace_back(), ParsePrompt("tokens", json, config, where));
    return prompts;
  }
  if (json.empty()) return Fail(ErrorCode::kInvalidArgument, "{}: no prompts in the object", where);
  for (const auto& [name, prompt] : json.items()) {
    FULMEN_ASSIGN(prompts.emplace_back(),
                  ParsePrompt(name, prompt, config, fmt::format("{}: {}", where, name)));
  }
  return prompts;
}

}  // namespace fulmen
