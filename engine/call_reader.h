// One call of a function in a model's answer, byte by byte.
#pragma once

#include <cstdint>
#include <string>

#include "engine/json_scanner.h"

namespace fulmen {

// How a model writes calls.
enum class CallFormat : uint8_t {
  kNone,    // it writes none
  kText01,  // functions.NAME({...})
  kM1,      // {"name": "NAME", "arguments": {...}}
};

// The arguments of a call: a JSON object, or a JSON string that holds one.
class ArgumentsReader {
 public:
  enum class Step : uint8_t {
    kMore,      // the value goes on
    kDone,      // the byte is its last, and what was handed on is a whole object
    kNoObject,  // the byte is its last: a string that begins no object; nothing was handed on
    kBad,       // the byte breaks the value or the object within it
  };
  // The first byte has to be { or ". Appends to `out` what the byte adds to the object, in JSON:
  // a string is unwrapped, the space around an object in it is dropped, and an empty one is {}.
  Step Add(char byte, std::string& out);

 private:
  enum class Place : uint8_t { kFirst, kPlain, kInString };
  enum class Object : uint8_t { kAhead, kOpen, kWhole, kNone };
  Step AddToString(char byte, std::string& out);
  Step EndString(std::string& out) const;
  Step AddUnwrapped(char byte, std::string& out);

  Place place_ = Place::kFirst;
  JsonScanner scanner_;  // of the value as it is written
  JsonStringDecoder decoder_;
  Object object_ = Object::kAhead;
  JsonScanner unwrapped_;
};

// Reads one call from its first byte on. Lenient around the arguments, strict in them:
// kText01: the arguments may be missing or a string; the parenthesis after them is not read.
// kM1: keys in any order, `parameters` for `arguments`, other keys with any value, a comma before
//   the brace; keys, the name and other values may be words without quotes. Arguments that are
//   missing, null or an empty string are {}. Of a key that stands twice the first counts.
// Time is linear, and memory is constant but for the name and for arguments that precede it. Not
// thread-safe.
class CallReader {
 public:
  enum class Step : uint8_t {
    kMore,    // the byte belongs to the call, which goes on
    kDone,    // the byte is its last
    kNoCall,  // kM1: the byte is the last of an object that is well-formed but is no call
    kBad,     // no call goes on with this byte; one that ended() stands nevertheless
  };
  explicit CallReader(CallFormat format);

  // Appends to `arguments` those that can be handed on. The first byte has to be one that
  // IsFirst accepts.
  Step Add(char byte, std::string& arguments);
  static bool IsFirst(CallFormat format, char byte);

  // The name is known, and some of the arguments.
  bool begun() const { return begun_; }
  // So are all of the arguments: those handed on are a JSON object. The call's other keys may still
  // follow.
  bool ended() const { return begun_ && arguments_ended_; }
  const std::string& name() const { return name_; }

 private:
  enum class Place : uint8_t {
    kFunctions,   // kText01: in the word before the name
    kFunction,    // in the name
    kInBrackets,  // after the opening one
    kOpen,        // kM1: at the first byte
    kKey,
    kColon,
    kValue,
    kNext,  // a comma or the end
    kString,
    kWord,
    kOther,  // in a value that does not matter
    kArguments,
  };
  // What a string or a word is.
  enum class Role : uint8_t { kKey, kName, kArguments, kOther };

  Step Read(char byte);
  Step ReadFunction(char byte);
  Step ReadInBrackets(char byte);
  Step ReadKey(char byte);
  Step ReadValue(char byte);
  Step ReadNext(char byte);
  Step ReadString(char byte);
  Step ReadWord(char byte);
  Step ReadOther(char byte);
  Step ReadArguments(char byte);
  Step BeginText(Place place, char byte);
  void EndText();
  Role TakeRole();
  Step Go(Place place);

  CallFormat format_;
  Place place_;
  Role role_ = Role::kKey;
  bool refused_ = false;        // the name or the arguments are of a wrong type
  bool has_name_ = false;       // its key came
  bool has_arguments_ = false;  // their key came
  bool arguments_ended_ = false;
  bool begun_ = false;
  std::string name_;
  std::string ready_;  // arguments that were not handed on yet
  std::string text_;   // of the string or word under way, decoded
  JsonScanner scanner_;
  JsonStringDecoder decoder_;
  ArgumentsReader arguments_;
};

}  // namespace fulmen
