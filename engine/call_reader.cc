#include "engine/call_reader.h"

#include <string_view>
#include <utility>

namespace fulmen {
namespace {

constexpr std::string_view kFunctions = "functions.";
constexpr const char* kNoArguments = "{}";

bool IsWordStart(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' ||
         static_cast<uint8_t>(byte) >= 0x80;
}

// Names of functions in the wild: a_b, a-b, server.tool, server/tool.
bool IsWordByte(char byte) {
  return IsWordStart(byte) || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' ||
         byte == '/';
}

bool IsLiteral(std::string_view word) {
  return word == "null" || word == "true" || word == "false";
}

}  // namespace

ArgumentsReader::Step ArgumentsReader::Add(char byte, std::string& out) {
  if (place_ == Place::kFirst) {
    place_ = byte == '"' ? Place::kInString : Place::kPlain;
    if (place_ == Place::kInString) {
      scanner_.Add(byte);
      return Step::kMore;
    }
  }
  const JsonScanner::Step step = scanner_.Add(byte);
  if (step == JsonScanner::Step::kBad) return Step::kBad;
  const bool last = step == JsonScanner::Step::kDone;
  if (place_ == Place::kInString) return last ? EndString(out) : AddToString(byte, out);
  out += byte;
  return last ? Step::kDone : Step::kMore;
}

ArgumentsReader::Step ArgumentsReader::AddToString(char byte, std::string& out) {
  std::string decoded;
  decoder_.Add(byte, decoded);
  for (const char unwrapped : decoded) {
    if (AddUnwrapped(unwrapped, out) == Step::kBad) return Step::kBad;
  }
  return Step::kMore;
}

ArgumentsReader::Step ArgumentsReader::AddUnwrapped(char byte, std::string& out) {
  if (object_ != Object::kOpen && IsJsonSpace(byte)) return Step::kMore;
  if (object_ == Object::kWhole) return Step::kBad;
  if (object_ == Object::kAhead) object_ = byte == '{' ? Object::kOpen : Object::kNone;
  if (object_ == Object::kNone) return Step::kMore;
  const JsonScanner::Step step = unwrapped_.Add(byte);
  if (step == JsonScanner::Step::kBad) return Step::kBad;
  if (step == JsonScanner::Step::kDone) object_ = Object::kWhole;
  out += byte;
  return Step::kMore;
}

ArgumentsReader::Step ArgumentsReader::EndString(std::string& out) const {
  switch (object_) {
    case Object::kAhead:
      out += kNoArguments;
      return Step::kDone;
    case Object::kOpen:
      return Step::kBad;
    case Object::kWhole:
      return Step::kDone;
    case Object::kNone:
      break;
  }
  return Step::kNoObject;
}

CallReader::CallReader(CallFormat format)
    : format_(format), place_(format == CallFormat::kText01 ? Place::kFunctions : Place::kOpen) {}

bool CallReader::IsFirst(CallFormat format, char byte) {
  return byte == (format == CallFormat::kText01 ? kFunctions[0] : '{');
}

CallReader::Step CallReader::Add(char byte, std::string& arguments) {
  const Step step = Read(byte);
  if (!name_.empty() && !refused_ && !ready_.empty()) {
    begun_ = true;
    arguments += ready_;
    ready_.clear();
  }
  return step;
}

CallReader::Step CallReader::Go(Place place) {
  place_ = place;
  return Step::kMore;
}

CallReader::Step CallReader::Read(char byte) {
  switch (place_) {
    case Place::kFunctions:
    case Place::kFunction:
      return ReadFunction(byte);
    case Place::kInBrackets:
      return ReadInBrackets(byte);
    case Place::kOpen:
      return Go(Place::kKey);
    case Place::kKey:
      return ReadKey(byte);
    case Place::kColon:
      if (IsJsonSpace(byte)) return Step::kMore;
      return byte == ':' ? Go(Place::kValue) : Step::kBad;
    case Place::kValue:
      return ReadValue(byte);
    case Place::kNext:
      return ReadNext(byte);
    case Place::kString:
      return ReadString(byte);
    case Place::kWord:
      return ReadWord(byte);
    case Place::kOther:
      return ReadOther(byte);
    case Place::kArguments:
      return ReadArguments(byte);
  }
  return Step::kBad;
}

CallReader::Step CallReader::ReadFunction(char byte) {
  if (place_ == Place::kFunctions) {
    if (byte != kFunctions[text_.size()]) return Step::kBad;
    text_ += byte;
    return text_ == kFunctions ? Go(Place::kFunction) : Step::kMore;
  }
  if (IsWordByte(byte)) {
    name_ += byte;
    return Step::kMore;
  }
  return byte == '(' && !name_.empty() ? Go(Place::kInBrackets) : Step::kBad;
}

CallReader::Step CallReader::ReadInBrackets(char byte) {
  if (IsJsonSpace(byte)) return Step::kMore;
  if (byte == '{' || byte == '"') {
    place_ = Place::kArguments;
    return ReadArguments(byte);
  }
  if (byte != ')') return Step::kBad;
  ready_ = kNoArguments;
  arguments_ended_ = true;
  return Step::kDone;
}

CallReader::Step CallReader::ReadKey(char byte) {
  if (IsJsonSpace(byte)) return Step::kMore;
  if (byte == '}') return ReadNext(byte);
  role_ = Role::kKey;
  if (byte == '"') return BeginText(Place::kString, byte);
  return IsWordStart(byte) ? BeginText(Place::kWord, byte) : Step::kBad;
}

CallReader::Step CallReader::ReadValue(char byte) {
  if (IsJsonSpace(byte)) return Step::kMore;
  role_ = TakeRole();
  if (role_ == Role::kArguments && (byte == '{' || byte == '"')) {
    place_ = Place::kArguments;
    return ReadArguments(byte);
  }
  if (role_ == Role::kName && byte == '"') return BeginText(Place::kString, byte);
  if (IsWordStart(byte)) return BeginText(Place::kWord, byte);
  if (role_ != Role::kOther) refused_ = true;
  place_ = Place::kOther;
  scanner_ = {};
  return ReadOther(byte);
}

// What the value after the key in `text_` is.
CallReader::Role CallReader::TakeRole() {
  if (text_ == "name" && !has_name_) {
    has_name_ = true;
    return Role::kName;
  }
  if ((text_ == "arguments" || text_ == "parameters") && !has_arguments_) {
    has_arguments_ = true;
    return Role::kArguments;
  }
  return Role::kOther;
}

CallReader::Step CallReader::BeginText(Place place, char byte) {
  place_ = place;
  text_.clear();
  scanner_ = {};
  decoder_ = {};
  if (place == Place::kWord) return ReadWord(byte);
  scanner_.Add(byte);
  return Step::kMore;
}

CallReader::Step CallReader::ReadString(char byte) {
  const JsonScanner::Step step = scanner_.Add(byte);
  if (step == JsonScanner::Step::kBad) return Step::kBad;
  if (step == JsonScanner::Step::kDone) {
    EndText();
  } else {
    decoder_.Add(byte, text_);
  }
  return Step::kMore;
}

CallReader::Step CallReader::ReadWord(char byte) {
  if (IsWordByte(byte)) {
    text_ += byte;
    return Step::kMore;
  }
  if (role_ == Role::kName && IsLiteral(text_)) refused_ = true;
  EndText();
  return Read(byte);
}

void CallReader::EndText() {
  place_ = role_ == Role::kKey ? Place::kColon : Place::kNext;
  if (role_ == Role::kName) {
    name_ = text_;
    refused_ = refused_ || name_.empty();
  } else if (role_ == Role::kArguments) {
    ready_ = kNoArguments;
    arguments_ended_ = true;
    refused_ = refused_ || text_ != "null";
  }
}

CallReader::Step CallReader::ReadOther(char byte) {
  switch (scanner_.Add(byte)) {
    case JsonScanner::Step::kMore:
      return Step::kMore;
    case JsonScanner::Step::kDone:
      return Go(Place::kNext);
    case JsonScanner::Step::kAfter:
      place_ = Place::kNext;
      return ReadNext(byte);
    case JsonScanner::Step::kBad:
      break;
  }
  return Step::kBad;
}

CallReader::Step CallReader::ReadArguments(char byte) {
  const bool m1 = format_ == CallFormat::kM1;
  switch (arguments_.Add(byte, ready_)) {
    case ArgumentsReader::Step::kMore:
      return Step::kMore;
    case ArgumentsReader::Step::kDone:
      arguments_ended_ = true;
      return m1 ? Go(Place::kNext) : Step::kDone;
    case ArgumentsReader::Step::kNoObject:
      refused_ = true;
      return m1 ? Go(Place::kNext) : Step::kBad;
    case ArgumentsReader::Step::kBad:
      break;
  }
  return Step::kBad;
}

CallReader::Step CallReader::ReadNext(char byte) {
  if (IsJsonSpace(byte)) return Step::kMore;
  if (byte == ',' && place_ == Place::kNext) return Go(Place::kKey);
  if (byte != '}') return Step::kBad;
  if (name_.empty() || refused_) return Step::kNoCall;
  if (!has_arguments_) {
    ready_ = kNoArguments;
    arguments_ended_ = true;
  }
  return Step::kDone;
}

}  // namespace fulmen
