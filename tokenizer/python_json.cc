#include "tokenizer/python_json.h"

#include <fmt/core.h>

namespace fulmen {
namespace {

void AppendString(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", c);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// The shortest digits that read back the same, as Python's repr: always with a point or exponent.
void AppendFloat(double number, std::string& out) {
  const std::string digits = fmt::format("{}", number);
  out += digits;
  if (digits.find_first_of(".e") == std::string::npos) out += ".0";
}

void Append(const Json& value, std::string& out) {
  const char* separator = "";
  switch (value.type()) {
    case Json::value_t::object:
      out += '{';
      for (const auto& [key, item] : value.items()) {
        out += separator;
        AppendString(key, out);
        out += ": ";
        Append(item, out);
        separator = ", ";
      }
      out += '}';
      break;
    case Json::value_t::array:
      out += '[';
      for (const Json& item : value) {
        out += separator;
        Append(item, out);
        separator = ", ";
      }
      out += ']';
      break;
    case Json::value_t::string:
      AppendString(value.get_ref<const std::string&>(), out);
      break;
    case Json::value_t::number_float:
      AppendFloat(value.get<double>(), out);
      break;
    default:  // null, booleans and integers are spelled alike
      out += value.dump();
  }
}

}  // namespace

std::string PythonJson(const Json& value) {
  std::string out;
  Append(value, out);
  return out;
}

std::string PythonJsonString(std::string_view text) {
  std::string out;
  AppendString(text, out);
  return out;
}

}  // namespace fulmen
