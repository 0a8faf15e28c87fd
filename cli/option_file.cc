#include "cli/option_file.h"

#include <fmt/core.h>
#include <toml++/toml.h>

#include "base/file_io.h"

namespace fulmen {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

Status Add(const std::string& key, const toml::node& node, const std::string& where,
           Values& values) {
  if (const auto* text = node.as_string()) {
    values.emplace_back(key, text->get());
  } else if (node.is_number()) {
    values.emplace_back(key, node.is_integer() ? fmt::format("{}", node.value_or(int64_t{0}))
                                               : fmt::format("{}", node.value_or(0.0)));
  } else if (const auto* flag = node.as_boolean()) {
    if (flag->get()) values.emplace_back(key, "");
  } else if (const auto* list = node.as_array()) {
    for (const toml::node& element : *list) FULMEN_TRY(Add(key, element, where, values));
  } else {
    return Fail(ErrorCode::kInvalidArgument,
                "{}, line {}: {} should be a text, a number, true, false or a list of these", where,
                node.source().begin.line, key);
  }
  return {};
}

}  // namespace

Result<Values> ReadOptionFile(const std::string& path) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  try {
    Values values;
    const toml::table table = toml::parse(text);
    for (const auto& [key, node] : table) {
      FULMEN_TRY(Add(std::string(key.str()), node, path, values));
    }
    return values;
  } catch (const toml::parse_error& error) {
    return Fail(ErrorCode::kCorrupt, "{}, line {}: {}", path, error.source().begin.line,
                error.description());
  }
}

}  // namespace fulmen
