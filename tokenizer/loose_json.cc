#include "tokenizer/loose_json.h"

namespace fulmen {

Result<LooseJson> ParseLooseJson(std::string_view text, const std::string& where) {
  try {
    return LooseJson::parse(text);
  } catch (const LooseJson::parse_error& error) {
    return Fail(ErrorCode::kCorrupt, "{}: not valid JSON at byte {}", where, error.byte);
  } catch (const LooseJson::exception&) {
    return Fail(ErrorCode::kCorrupt, "{}: not valid JSON: a number out of range", where);
  }
}

const LooseJson& Member(const LooseJson& value, const char* key) {
  static const LooseJson null;
  const auto found = value.find(key);
  return found != value.end() ? *found : null;
}

Result<std::string> StringMember(const LooseJson& value, const char* key,
                                 const std::string& where) {
  const LooseJson& member = Member(value, key);
  if (!member.is_string()) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a string, found {}", where, key,
                member.type_name());
  }
  return member.get<std::string>();
}

Result<bool> BoolMember(const LooseJson& value, const char* key, bool otherwise,
                        const std::string& where) {
  const LooseJson& member = Member(value, key);
  if (member.is_null()) return otherwise;
  if (!member.is_boolean()) {
    return Fail(ErrorCode::kCorrupt, "{}: '{}' should be true or false, found {}", where, key,
                member.type_name());
  }
  return member.get<bool>();
}

}  // namespace fulmen
