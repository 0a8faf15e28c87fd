#include "serve/answer_text.h"

#include <type_traits>
#include <variant>

namespace fulmen {

using StepKind = AnswerStep::Kind;

AnswerStep AnswerText::Add(const Event& event) {
  if (const auto* sampled = std::get_if<TokenSampled>(&event)) {
    if (sampled->logprob && !IsComplete()) tokens_.push_back(*sampled);
    return {};
  }
  if (const auto* delta = std::get_if<AnswerDelta>(&event)) return AddPiece(delta->piece);
  if (const auto* finished = std::get_if<AnswerFinished>(&event)) return Finish(*finished);
  return {};
}

AnswerStep AnswerText::AddPiece(const AnswerPiece& piece) {
  if (IsComplete()) return {};
  if (piece.kind == AnswerPiece::Kind::kText) {
    content_ += piece.text;
    const std::span<const TokenSampled> tokens = std::span(tokens_).subspan(content_tokens_);
    content_tokens_ = tokens_.size();
    return {.kind = StepKind::kContent, .text = piece.text, .tokens = tokens};
  }
  tokens_.resize(content_tokens_);
  switch (piece.kind) {
    case AnswerPiece::Kind::kReasoning:
      reasoning_ += piece.text;
      return {.kind = StepKind::kReasoning, .text = piece.text};
    case AnswerPiece::Kind::kCall:
      calls_.push_back({.name = piece.text, .arguments = {}});
      return {.kind = StepKind::kCall, .text = piece.text, .call = calls_.size() - 1};
    case AnswerPiece::Kind::kArguments:
      calls_.back().arguments += piece.text;
      return {.kind = StepKind::kArguments, .text = piece.text, .call = calls_.size() - 1};
    default:
      calls_.back().ended = true;
      return {.kind = StepKind::kCallEnd, .call = calls_.size() - 1};
  }
}

AnswerStep AnswerText::Finish(const AnswerFinished& finished) {
  finish_ = finished.reason;
  if (IsComplete() && finished.reason != FinishReason::kError) {
    finish_ = FinishReason::kToolCalls;  // however what was dropped after the call has ended
  } else {
    stop_string_ = finished.stop_string;
  }
  ids_ = finished.ids;
  reasoning_tokens_ = finished.reasoning_tokens;
  tokens_.resize(content_tokens_);
  return {.kind = StepKind::kFinish};
}

std::optional<size_t> ChoiceOf(const Event& event) {
  return std::visit(
      [](const auto& one) -> std::optional<size_t> {
        if constexpr (requires { one.choice; }) return static_cast<size_t>(one.choice);
        return std::nullopt;
      },
      event);
}

}  // namespace fulmen
