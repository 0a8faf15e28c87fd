#include "serve/anthropic_messages.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "serve/answer_text.h"
#include "serve/anthropic_request.h"
#include "serve/cut_json.h"
#include "serve/sse.h"
#include "serve/turn_ids.h"

namespace fulmen {
namespace {

// What was cut short by something else than a limit has no name of its own here.
std::string_view StopReason(const AnswerFinished& finished) {
  switch (finished.reason) {
    case FinishReason::kToolCalls:
      return "tool_use";
    case FinishReason::kStop:
      return finished.stop_string ? "stop_sequence" : "end_turn";
    case FinishReason::kContext:
      return "model_context_window_exceeded";
    case FinishReason::kLength:
    case FinishReason::kCancelled:
    case FinishReason::kDeadline:
    case FinishReason::kAllowance:
    case FinishReason::kError:
      break;
  }
  return "max_tokens";
}

Json StopSequence(const AnswerFinished& finished) {
  const bool at_stop_string = StopReason(finished) == "stop_sequence";
  return at_stop_string ? Json(*finished.stop_string) : Json();
}

Json StopDetails(const AnswerFinished& finished) {
  if (finished.reason != FinishReason::kAllowance) return nullptr;
  return {{"type", kQuotaReason}};
}

class AnthropicCall : public ApiCall {
 public:
  explicit AnthropicCall(AnthropicRequest request)
      : ApiCall(ApiStyle::kAnthropic, RandomId("msg_"), request.stream,
                OneGeneration(std::move(request.generation))),
        hides_thinking_(request.hides_thinking),
        omits_thinking_(request.omits_thinking),
        one_call_(request.one_call) {}

  void Begin(std::vector<AnswerStart> starts, std::string& out) override;
  void On(size_t generation, const Event& event, std::string& out) override;
  void Fail(const ApiError& error, std::string& out) override;
  Json Answer() const override;

 private:
  struct Block {
    enum class Kind : uint8_t { kThinking, kText, kToolUse };
    Kind kind;
    std::string text = {};  // of kToolUse the arguments
    std::string id = {};    // of kToolUse, as the next
    std::string name = {};
  };

  static std::vector<Generation> OneGeneration(Generation generation) {
    std::vector<Generation> generations;
    generations.push_back(std::move(generation));
    return generations;
  }

  void Handle(const PromptProgress& progress, std::string& out);
  void Handle(const TokenSampled&, std::string&) {}
  void Handle(const AllowanceLow&, std::string&) {}
  void Handle(const AnswerDelta& delta, std::string& out);
  void Handle(const AnswerFinished& finished, std::string& out);
  void Handle(const RequestDone& done, std::string& out);

  void StartMessage(std::string& out);
  void StartCall(const std::string& name, std::string& out);
  void AddTo(Block::Kind kind, const std::string& text, std::string& out);
  void StartBlock(Block block, std::string& out);
  void StopBlock(std::string& out);
  void SendDelta(Json delta, std::string& out) const;
  void Send(const Json& event, std::string& out) const;
  Json Content(const Block& block, bool empty) const;
  Json Message(bool empty) const;
  Json UsageJson() const;

  const bool hides_thinking_;
  const bool omits_thinking_;
  const bool one_call_;
  std::string model_;
  std::string handle_;
  bool started_ = false;
  std::vector<Block> blocks_;
  bool block_open_ = false;  // the last of them
  int64_t calls_ = 0;
  bool drops_call_ = false;  // the one under way
  AnswerFinished finished_;
  Usage usage_;
};

void AnthropicCall::Begin(std::vector<AnswerStart> starts, std::string&) {
  model_ = std::move(starts.at(0).model);
  handle_ = std::move(starts.at(0).handles.at(0));
}

void AnthropicCall::On(size_t, const Event& event, std::string& out) {
  std::visit([&](const auto& one) { Handle(one, out); }, event);
}

// Counts of the prompt belong into the first event, so it waits for them.
void AnthropicCall::Handle(const PromptProgress& progress, std::string& out) {
  if (started_) return;
  usage_.prompt_tokens = progress.total;
  usage_.cached_tokens = progress.cached;
  StartMessage(out);
}

void AnthropicCall::Handle(const AnswerDelta& delta, std::string& out) {
  StartMessage(out);
  const std::string& text = delta.piece.text;
  switch (delta.piece.kind) {
    case AnswerPiece::Kind::kReasoning:
      if (!hides_thinking_) AddTo(Block::Kind::kThinking, text, out);
      break;
    case AnswerPiece::Kind::kText:
      AddTo(Block::Kind::kText, text, out);
      break;
    case AnswerPiece::Kind::kCall:
      StartCall(text, out);
      break;
    case AnswerPiece::Kind::kArguments:
      if (drops_call_) break;
      blocks_.back().text += text;
      SendDelta({{"type", "input_json_delta"}, {"partial_json", text}}, out);
      break;
    case AnswerPiece::Kind::kCallEnd:
      if (!drops_call_) StopBlock(out);
      break;
  }
}

void AnthropicCall::Handle(const AnswerFinished& finished, std::string& out) {
  StartMessage(out);
  StopBlock(out);
  finished_ = finished;
}

void AnthropicCall::Handle(const RequestDone& done, std::string& out) {
  usage_ = done.usage;
  StartMessage(out);
  Send({{"type", "message_delta"},
        {"delta",
         {{"stop_reason", StopReason(finished_)},
          {"stop_sequence", StopSequence(finished_)},
          {"stop_details", StopDetails(finished_)},
          {"container", nullptr}}},
        {"usage", UsageJson()}},
       out);
  Send({{"type", "message_stop"}}, out);
}

void AnthropicCall::Fail(const ApiError& error, std::string& out) {
  Json body = ErrorBody(ApiStyle::kAnthropic, error, "");
  body.erase("request_id");
  Send(body, out);
}

Json AnthropicCall::Answer() const { return Message(false); }

void AnthropicCall::StartMessage(std::string& out) {
  if (std::exchange(started_, true)) return;
  Send({{"type", "message_start"}, {"message", Message(true)}}, out);
}

void AnthropicCall::StartCall(const std::string& name, std::string& out) {
  drops_call_ = one_call_ && calls_ > 0;
  if (drops_call_) return;
  StartBlock(
      {.kind = Block::Kind::kToolUse, .id = TurnItemId("toolu_", handle_, calls_++), .name = name},
      out);
}

void AnthropicCall::AddTo(Block::Kind kind, const std::string& text, std::string& out) {
  if (!block_open_ || blocks_.back().kind != kind) StartBlock({.kind = kind}, out);
  if (kind == Block::Kind::kThinking && omits_thinking_) return;
  blocks_.back().text += text;
  if (kind == Block::Kind::kThinking) {
    SendDelta({{"type", "thinking_delta"}, {"thinking", text}}, out);
  } else {
    SendDelta({{"type", "text_delta"}, {"text", text}}, out);
  }
}

void AnthropicCall::StartBlock(Block block, std::string& out) {
  StopBlock(out);
  blocks_.push_back(std::move(block));
  block_open_ = true;
  if (!streams()) return;
  Send({{"type", "content_block_start"},
        {"index", blocks_.size() - 1},
        {"content_block", Content(blocks_.back(), true)}},
       out);
}

void AnthropicCall::StopBlock(std::string& out) {
  if (!std::exchange(block_open_, false)) return;
  if (blocks_.back().kind == Block::Kind::kThinking) {
    SendDelta({{"type", "signature_delta"}, {"signature", handle_}}, out);
  }
  Send({{"type", "content_block_stop"}, {"index", blocks_.size() - 1}}, out);
}

void AnthropicCall::SendDelta(Json delta, std::string& out) const {
  Send(
      {{"type", "content_block_delta"}, {"index", blocks_.size() - 1}, {"delta", std::move(delta)}},
      out);
}

void AnthropicCall::Send(const Json& event, std::string& out) const {
  if (streams()) AppendSse(out, event.at("type").get_ref<const std::string&>(), event);
}

// `empty`: as it begins, with the fields that clients add to.
Json AnthropicCall::Content(const Block& block, bool empty) const {
  switch (block.kind) {
    case Block::Kind::kThinking:
      return {{"type", "thinking"},
              {"thinking", empty ? "" : block.text},
              {"signature", empty ? "" : handle_}};
    case Block::Kind::kText:
      return {{"type", "text"}, {"text", empty ? "" : block.text}, {"citations", nullptr}};
    case Block::Kind::kToolUse:
      break;
  }
  return {{"type", "tool_use"},
          {"id", block.id},
          {"name", block.name},
          {"input", empty ? Json::object() : WholePartsOf(block.text)},
          {"caller", {{"type", "direct"}}}};
}

Json AnthropicCall::Message(bool empty) const {
  Json content = Json::array();
  if (!empty) {
    for (const Block& block : blocks_) content.push_back(Content(block, false));
  }
  return {{"id", id()},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model_},
          {"content", std::move(content)},
          {"stop_reason", empty ? Json() : Json(StopReason(finished_))},
          {"stop_sequence", empty ? Json() : StopSequence(finished_)},
          {"stop_details", StopDetails(finished_)},
          {"container", nullptr},
          {"diagnostics", nullptr},
          {"usage", UsageJson()}};
}

// Tokens of the prompt are either read for this request or were there before. What is stored for
// later costs nothing, so no token counts as written.
Json AnthropicCall::UsageJson() const {
  return WithCost({{"input_tokens", usage_.prompt_tokens - usage_.cached_tokens},
                   {"cache_creation_input_tokens", 0},
                   {"cache_read_input_tokens", usage_.cached_tokens},
                   {"cache_creation", nullptr},
                   {"output_tokens", usage_.output_tokens},
                   {"output_tokens_details", {{"thinking_tokens", usage_.reasoning_tokens}}},
                   {"server_tool_use", nullptr},
                   {"service_tier", nullptr},
                   {"inference_geo", nullptr},
                   {"speed", nullptr}});
}

}  // namespace

ApiResult<std::unique_ptr<ApiCall>> ParseAnthropicMessages(const Json& body) {
  FULMEN_API_ASSIGN(AnthropicRequest request, ReadAnthropicRequest(body));
  return std::make_unique<AnthropicCall>(std::move(request));
}

ApiResult<Generation> ParseAnthropicCount(const Json& body) { return ReadAnthropicPrompt(body); }

}  // namespace fulmen
