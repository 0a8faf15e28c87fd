// What a model writes, told apart: its thoughts, its words, the calls it makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/call_reader.h"
#include "tokenizer/chat.h"

namespace fulmen {

struct AnswerFormat {
  bool reasoning = false;  // an answer may begin with <think>
  CallFormat calls = CallFormat::kNone;
};

// How answers look in this chat format. `tools`: whether the request has any; without them what
// looks like a call is text.
AnswerFormat AnswerFormatOf(ChatFormat format, bool tools);

struct AnswerPiece {
  enum class Kind : uint8_t {
    kReasoning,
    kText,
    kCall,       // a call begins; the text is the function's name, never empty
    kArguments,  // of the call begun last; with those before, the beginning of a JSON object
    kCallEnd,    // of the call begun last: its arguments are a whole JSON object; no text
  };
  Kind kind;
  std::string text;

  bool operator==(const AnswerPiece&) const = default;
};

// Turns an answer's text into pieces as it arrives. How the text is cut makes no difference, but to
// how reasoning, text and arguments are cut in turn. What may yet turn out to be markup is held
// back, and no more than that. Linear in the text. Not thread-safe; one parser for each answer.
//
// Reasoning: <think> at the very start, but for whitespace, begins it and </think> ends it; without
// the latter all of the answer is reasoning. Dropped are the tags, the whitespace before the first,
// one newline after it, one before the second, and all whitespace after that. Nothing in it is a
// call. Either tag anywhere else is text, a </think> that nothing opened included.
//
// Calls stand in blocks, with text around them:
//   kM1      <tool_calls>, calls, </tool_calls>. The rest of the opening tag's line has to be empty
//            or begin with a call, or the tag is text and opens nothing: it may be spoken of.
//   kText01  <function_call>, a fence ```typescript (or another word, or none), calls, ```. Without
//            the fence's first line the marker is text.
// The answer may end within a block. CallReader says what calls look like. Between them, and before
// and after, may be whitespace and commas, in kM1 also [ ] } and in kText01 ) ; so that calls may
// be a list, and may have a brace too many. A call ends with its arguments, so one may also lack a
// brace. A call without kCallEnd was cut short or is broken: nobody may take it for one that was
// made.
//
// What is in a block but is no call is text, never dropped in silence: from where it begins to the
// end of its line, or of the object if it is well-formed but has no name or arguments of a wrong
// type. In a call whose arguments have begun, it begins with the byte that breaks them, or after
// them if that is where the call breaks or is cut short. After such text may be calls again.
//
// Until its first call a block is text as it was written, markers included. Of a block with a call
// dropped are:
//   - the opening marker, and the whitespace before it, unless text came between it and the call,
//   - what may be between calls, where no text is: before a call and before the closing marker,
//   - the closing marker, or a beginning of it at the answer's end,
//   - whitespace after it, up to another block with a call or the answer's end,
//   - of calls all but names and arguments; of arguments in a string the space around the object,
//     and a part of an escape at the answer's end.
// All else is in the pieces, in order.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerFormat format);

  // The pieces that are certain now. No two neighbours are of one kind.
  std::vector<AnswerPiece> Add(std::string_view text);
  // The answer's end: what was held back. Nothing may be added after it.
  std::vector<AnswerPiece> Finish();

  // Within the thoughts: all tokens so far are part of them, and so will be the next.
  bool in_reasoning() const { return place_ == Place::kReasoning; }
  // Calls that ended.
  int64_t calls() const { return calls_; }

 private:
  enum class Place : uint8_t {
    kStart,
    kReasoning,
    kAfterReasoning,
    kText,
    kFence,      // after the marker of kText01
    kBlock,      // between calls
    kCall,       // in a call, or in what begins like one
    kOtherLine,  // in a line that is no call
    kFinished,
  };

  void AddByte(char byte);
  void AddAtStart(char byte);
  void AddToReasoning(char byte);
  void AddToText(char byte);
  void AddToFence(char byte);
  void AddToBlock(char byte);
  void AddToCall(char byte);
  void AddToOtherLine(char byte);
  void BreakCall(char byte);
  bool Hold(char byte, std::string_view marker);
  void CloseBlock();
  bool IsSeparator(char byte) const;
  bool HoldsOnlySeparators() const;

  void Emit(AnswerPiece::Kind kind, std::string_view text);
  void Release(AnswerPiece::Kind kind);

  const AnswerFormat format_;
  const std::string_view open_;  // the markers of a block
  const std::string_view close_;
  Place place_;
  std::vector<AnswerPiece> pieces_;
  std::string held_;          // what is dropped if it is markup
  size_t matched_ = 0;        // bytes of a marker at the end of held_
  bool at_think_ = false;     // nothing came after <think> yet
  bool beside_open_ = false;  // in the line of the marker that opened the block
  bool block_calls_ = false;  // the block has a call
  bool after_block_ = false;  // nothing was released since a block with calls
  std::optional<CallReader> call_;
  bool call_ended_ = false;  // and kCallEnd was given out
  std::string arguments_;    // scratch: what a byte adds to them
  int64_t calls_ = 0;
};

}  // namespace fulmen
