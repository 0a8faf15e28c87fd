#include "engine/answer_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/answer_markers.h"

namespace fulmen {
namespace {

using Kind = AnswerPiece::Kind;

bool IsLetter(char byte) { return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'); }

}  // namespace

AnswerFormat AnswerFormatOf(ChatFormat format, bool tools) {
  const bool m1 = format == ChatFormat::kM1 || format == ChatFormat::kM1LlamaCpp;
  const CallFormat calls = m1 ? CallFormat::kM1 : CallFormat::kText01;
  return {m1, tools ? calls : CallFormat::kNone};
}

AnswerParser::AnswerParser(AnswerFormat format)
    : format_(format),
      open_(OpeningMarker(format.calls)),
      close_(ClosingMarker(format.calls)),
      place_(format.reasoning ? Place::kStart : Place::kText) {}

std::vector<AnswerPiece> AnswerParser::Add(std::string_view text) {
  FULMEN_CHECK(place_ != Place::kFinished, "text is added to an answer that was finished");
  for (const char byte : text) AddByte(byte);
  return std::exchange(pieces_, {});
}

std::vector<AnswerPiece> AnswerParser::Finish() {
  switch (std::exchange(place_, Place::kFinished)) {
    case Place::kReasoning:
      Release(Kind::kReasoning);
      break;
    case Place::kText:
      if (!after_block_ || matched_ > 0) Release(Kind::kText);
      break;
    case Place::kBlock:
    case Place::kOtherLine:
      if (!block_calls_) Release(Kind::kText);
      break;
    case Place::kCall:
      if (call_ended_ ? !HoldsOnlySeparators() : !call_->begun()) Release(Kind::kText);
      break;
    default:
      Release(Kind::kText);
  }
  return std::exchange(pieces_, {});
}

void AnswerParser::AddByte(char byte) {
  switch (place_) {
    case Place::kStart:
      return AddAtStart(byte);
    case Place::kReasoning:
      return AddToReasoning(byte);
    case Place::kAfterReasoning:
      if (IsJsonSpace(byte)) return;
      place_ = Place::kText;
      return AddToText(byte);
    case Place::kText:
      return AddToText(byte);
    case Place::kFence:
      return AddToFence(byte);
    case Place::kBlock:
      return AddToBlock(byte);
    case Place::kCall:
      return AddToCall(byte);
    case Place::kOtherLine:
      return AddToOtherLine(byte);
    case Place::kFinished:
      return;
  }
}

void AnswerParser::AddAtStart(char byte) {
  held_ += byte;
  if (matched_ == 0 && IsJsonSpace(byte)) return;
  if (byte == kThink[matched_]) {
    if (++matched_ < kThink.size()) return;
    held_.clear();
    matched_ = 0;
    at_think_ = true;
    place_ = Place::kReasoning;
    return;
  }
  // What was held may be the beginning of another marker.
  place_ = Place::kText;
  matched_ = 0;
  for (const char again : std::exchange(held_, "")) AddByte(again);
}

void AnswerParser::AddToReasoning(char byte) {
  const bool first = std::exchange(at_think_, false);
  if (first && byte == '\n') return;
  held_ += byte;
  if (byte == kThinkEnd[matched_]) {
    if (++matched_ < kThinkEnd.size()) return;
    held_.clear();
    matched_ = 0;
    place_ = Place::kAfterReasoning;
    return;
  }
  // The tag with the newline before it was not whole: all that was held is reasoning, but for the
  // byte if it begins them anew.
  matched_ = 0;
  if (byte != '\n' && byte != kThinkEnd[0]) return Release(Kind::kReasoning);
  held_.pop_back();
  Release(Kind::kReasoning);
  held_ = byte;
  matched_ = byte == '\n' ? 0 : 1;
}

// Takes a byte of text, which is held back while whitespace or a part of the marker. True once the
// marker is whole, and at the end of held_.
bool AnswerParser::Hold(char byte, std::string_view marker) {
  if (matched_ < marker.size() && byte == marker[matched_]) {
    held_ += byte;
    if (++matched_ < marker.size()) return false;
    matched_ = 0;
    return true;
  }
  if (matched_ > 0) Release(Kind::kText);
  matched_ = 0;
  held_ += byte;
  if (!marker.empty() && byte == marker[0]) {
    matched_ = 1;
  } else if (!IsJsonSpace(byte)) {
    Release(Kind::kText);
  }
  return false;
}

void AnswerParser::AddToText(char byte) {
  if (format_.calls == CallFormat::kNone) return Emit(Kind::kText, {&byte, 1});
  if (!Hold(byte, open_)) return;
  place_ = format_.calls == CallFormat::kM1 ? Place::kBlock : Place::kFence;
  beside_open_ = format_.calls == CallFormat::kM1;
  block_calls_ = false;
}

// Whitespace, the marks, a word, the line's end.
void AnswerParser::AddToFence(char byte) {
  const bool marks_whole = matched_ == kFenceMarks.size();
  const bool space = IsJsonSpace(byte);
  if (!marks_whole && byte == kFenceMarks[matched_]) {
    ++matched_;
  } else if (!(space && (matched_ == 0 || marks_whole)) && !(marks_whole && IsLetter(byte))) {
    Release(Kind::kText);
    matched_ = 0;
    place_ = Place::kText;
    return AddToText(byte);
  }
  held_ += byte;
  if (!marks_whole || byte != '\n') return;
  matched_ = 0;
  place_ = Place::kBlock;
}

bool AnswerParser::IsSeparator(char byte) const {
  if (IsJsonSpace(byte) || byte == ',') return true;
  if (format_.calls == CallFormat::kM1) return byte == '[' || byte == ']' || byte == '}';
  return byte == ')' || byte == ';';
}

void AnswerParser::AddToBlock(char byte) {
  if (byte == close_[matched_]) {
    held_ += byte;
    if (++matched_ == close_.size()) CloseBlock();
    return;
  }
  if (matched_ == 0 && IsSeparator(byte)) {
    held_ += byte;
    if (byte == '\n') beside_open_ = false;
    return;
  }
  if (matched_ == 0 && CallReader::IsFirst(format_.calls, byte)) {
    place_ = Place::kCall;
    beside_open_ = false;
    call_.emplace(format_.calls);
    call_ended_ = false;
    return AddToCall(byte);
  }
  if (!beside_open_) {
    matched_ = 0;
    place_ = Place::kOtherLine;
    Release(Kind::kText);
    return AddToOtherLine(byte);
  }
  // The opening tag was none, but what looked like the closing one may begin another.
  const std::string again = held_.substr(held_.size() - matched_) + byte;
  held_.resize(held_.size() - matched_);
  matched_ = 0;
  place_ = Place::kText;
  Release(Kind::kText);
  for (const char next : again) AddByte(next);
}

void AnswerParser::AddToCall(char byte) {
  const bool had_begun = call_->begun();
  const CallReader::Step step = call_->Add(byte, arguments_);
  if (step != CallReader::Step::kBad) held_ += byte;
  if (call_->begun() && !had_begun) {
    held_.clear();
    block_calls_ = true;
    Emit(Kind::kCall, call_->name());
  }
  if (!arguments_.empty()) {
    held_.clear();
    Emit(Kind::kArguments, std::exchange(arguments_, ""));
  }
  if (call_->ended() && !call_ended_) {
    held_.clear();
    call_ended_ = true;
    ++calls_;
    Emit(Kind::kCallEnd, "");
  }
  switch (step) {
    case CallReader::Step::kMore:
      return;
    case CallReader::Step::kDone:
      held_.clear();
      place_ = Place::kBlock;
      return;
    case CallReader::Step::kNoCall:
      Release(Kind::kText);
      place_ = Place::kBlock;
      return;
    case CallReader::Step::kBad:
      return BreakCall(byte);
  }
}

bool AnswerParser::HoldsOnlySeparators() const {
  return std::all_of(held_.begin(), held_.end(), [this](char held) { return IsSeparator(held); });
}

// The byte fits no call. One that ended may lack its brace: then the byte is the next thing.
void AnswerParser::BreakCall(char byte) {
  if (call_ended_ && HoldsOnlySeparators()) {
    place_ = Place::kBlock;
    return AddToBlock(byte);
  }
  Release(Kind::kText);
  place_ = Place::kOtherLine;
  AddToOtherLine(byte);
}

void AnswerParser::AddToOtherLine(char byte) {
  if (byte == '\n') {
    if (matched_ > 0) Release(Kind::kText);
    matched_ = 0;
    place_ = Place::kBlock;
    return AddToBlock(byte);
  }
  // A fence ends at the beginning of a line only.
  if (Hold(byte, format_.calls == CallFormat::kM1 ? close_ : "")) CloseBlock();
}

void AnswerParser::CloseBlock() {
  matched_ = 0;
  place_ = Place::kText;
  if (!block_calls_) return Release(Kind::kText);
  held_.clear();
  after_block_ = true;
}

void AnswerParser::Emit(Kind kind, std::string_view text) {
  if (kind == Kind::kText) after_block_ = false;
  if (!pieces_.empty() && pieces_.back().kind == kind) {
    pieces_.back().text += text;
  } else {
    pieces_.push_back({kind, std::string(text)});
  }
}

void AnswerParser::Release(Kind kind) {
  if (held_.empty()) return;
  Emit(kind, held_);
  held_.clear();
}

}  // namespace fulmen
