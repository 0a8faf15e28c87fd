#include "serve/openai_responses.h"

#include <ctime>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "serve/answer_text.h"
#include "serve/responses_request.h"
#include "serve/sse.h"
#include "serve/text_logprobs.h"
#include "serve/turn_ids.h"

namespace fulmen {
namespace {

std::vector<Generation> OneGeneration(Generation generation) {
  std::vector<Generation> generations;
  generations.push_back(std::move(generation));
  return generations;
}

struct OutputItem {
  enum class Kind : uint8_t { kReasoning, kMessage, kCall };
  Kind kind;
  std::string id = {};
  std::string call_id = {};  // of kCall, as the next
  std::string name = {};
  std::string text = {};  // of kCall the arguments
  Json logprobs = Json::array();
  std::string_view status = "in_progress";
};

class ResponsesWriter : public ResponsesCall {
 public:
  explicit ResponsesWriter(ResponsesRequest request)
      : ResponsesCall(ApiStyle::kOpenAi, RandomId("resp_"), request.stream,
                      OneGeneration(std::move(request.generation))),
        request_(std::move(request)),
        model_(generations().at(0).model),
        wants_logprobs_(generations().at(0).top_logprobs.has_value()) {}

  bool stores() const override { return request_.store; }
  const Json& input_items() const override { return request_.input; }
  const std::string& previous() const override { return request_.previous; }

  void Begin(std::vector<AnswerStart> starts, std::string& out) override;
  void On(size_t generation, const Event& event, std::string& out) override;
  void Fail(const ApiError& error, std::string& out) override;
  Json Answer() const override { return Response(true); }

 private:
  void Handle(const PromptProgress&, std::string&) {}
  void Handle(const AllowanceLow&, std::string&) {}
  void Handle(const TokenSampled& token, std::string&) {
    if (logprobs_) logprobs_->Add(token);
  }
  void Handle(const AnswerDelta& delta, std::string& out);
  void Handle(const AnswerFinished& finished, std::string& out);
  void Handle(const RequestDone& done, std::string& out);

  void SendCreated(std::string& out);
  void StartCall(const std::string& name, std::string& out);
  void AddTo(OutputItem::Kind kind, const std::string& text, std::string& out);
  void StartItem(OutputItem item, std::string& out);
  void AddDelta(const std::string& text, std::string& out);
  void StopItem(std::string_view status, std::string& out);
  void SendDone(std::string& out);
  void SendInItem(std::string_view type, Json more, std::string& out);
  void Send(std::string_view type, Json more, std::string& out);
  void SetError(const ApiError& error);

  Json PartJson(const OutputItem& item, bool empty) const;
  Json ItemJson(const OutputItem& item, bool empty) const;
  Json UsageJson() const;
  Json Response(bool with_output) const;

  const ResponsesRequest request_;  // without its generation
  std::string model_;
  const bool wants_logprobs_;
  std::string handle_;
  int64_t created_ = 0;
  bool begun_ = false;
  int64_t sequence_number_ = 0;
  std::optional<TextLogprobs> logprobs_;
  std::vector<OutputItem> items_;
  bool item_open_ = false;  // the last of them
  int64_t calls_ = 0;
  bool drops_call_ = false;  // the one under way
  std::string_view status_ = "in_progress";
  Json incomplete_details_;
  Json error_;
  std::optional<Usage> usage_;
};

void ResponsesWriter::Begin(std::vector<AnswerStart> starts, std::string& out) {
  AnswerStart& start = starts.at(0);
  model_ = std::move(start.model);
  handle_ = std::move(start.handles.at(0));
  created_ = start.created;
  if (wants_logprobs_) logprobs_.emplace(start.tokenizer);
  SendCreated(out);
}

void ResponsesWriter::On(size_t, const Event& event, std::string& out) {
  std::visit([&](const auto& one) { Handle(one, out); }, event);
}

void ResponsesWriter::Handle(const AnswerDelta& delta, std::string& out) {
  const std::string& text = delta.piece.text;
  switch (delta.piece.kind) {
    case AnswerPiece::Kind::kReasoning:
      if (logprobs_) logprobs_->Take(text);
      AddTo(OutputItem::Kind::kReasoning, text, out);
      break;
    case AnswerPiece::Kind::kText:
      AddTo(OutputItem::Kind::kMessage, text, out);
      break;
    case AnswerPiece::Kind::kCall:
      if (logprobs_) logprobs_->Drop();
      StartCall(text, out);
      break;
    case AnswerPiece::Kind::kArguments:
      if (logprobs_) logprobs_->Drop();
      if (!drops_call_) AddDelta(text, out);
      break;
    case AnswerPiece::Kind::kCallEnd:
      if (!drops_call_) StopItem("completed", out);
      break;
  }
}

void ResponsesWriter::Handle(const AnswerFinished& finished, std::string& out) {
  status_ = "completed";
  switch (finished.reason) {
    case FinishReason::kStop:
    case FinishReason::kToolCalls:
      break;
    case FinishReason::kLength:
    case FinishReason::kContext:
      status_ = "incomplete";
      incomplete_details_ = {{"reason", "max_output_tokens"}};
      break;
    case FinishReason::kAllowance:
      status_ = "incomplete";
      incomplete_details_ = {{"reason", kQuotaReason}};
      break;
    case FinishReason::kCancelled:
      status_ = "cancelled";
      break;
    case FinishReason::kDeadline:
      SetError({ApiErrorKind::kDeadline, "the answer took longer than it may"});
      break;
    case FinishReason::kError:
      SetError({ApiErrorKind::kInternal, "the answer could not be computed"});
      break;
  }
  StopItem(status_ == "completed" ? "completed" : "incomplete", out);
}

void ResponsesWriter::Handle(const RequestDone& done, std::string& out) {
  usage_ = done.usage;
  const bool completed = status_ == "completed";
  const bool failed = status_ == "failed";
  Send(completed ? "response.completed" : (failed ? "response.failed" : "response.incomplete"),
       {{"response", Response(true)}}, out);
}

void ResponsesWriter::Fail(const ApiError& error, std::string& out) {
  if (!begun_) {
    created_ = std::time(nullptr);
    SendCreated(out);
  }
  SetError(error);
  if (std::exchange(item_open_, false)) items_.back().status = "incomplete";
  Send("response.failed", {{"response", Response(true)}}, out);
}

// Agents know the conversation to be too long by the code.
void ResponsesWriter::SetError(const ApiError& error) {
  const Json body = ErrorBody(ApiStyle::kOpenAi, error, "").at("error");
  const bool known =
      error.kind == ApiErrorKind::kContextLength || error.kind == ApiErrorKind::kBusy;
  const bool invalid = body.at("type") == "invalid_request_error";
  status_ = "failed";
  error_ = {{"code", known ? body.at("code") : Json(invalid ? "invalid_prompt" : "server_error")},
            {"message", body.at("message")}};
}

void ResponsesWriter::SendCreated(std::string& out) {
  begun_ = true;
  if (!streams()) return;
  const Json response = Response(false);
  Send("response.created", {{"response", response}}, out);
  Send("response.in_progress", {{"response", response}}, out);
}

void ResponsesWriter::StartCall(const std::string& name, std::string& out) {
  drops_call_ = request_.one_call && calls_ > 0;
  if (drops_call_) return;
  StartItem({.kind = OutputItem::Kind::kCall,
             .call_id = TurnItemId("call_", handle_, calls_++),
             .name = name},
            out);
}

void ResponsesWriter::AddTo(OutputItem::Kind kind, const std::string& text, std::string& out) {
  if (!item_open_ || items_.back().kind != kind) StartItem({.kind = kind}, out);
  AddDelta(text, out);
}

void ResponsesWriter::StartItem(OutputItem item, std::string& out) {
  // A call that has not ended by itself was broken.
  const bool broken = item_open_ && items_.back().kind == OutputItem::Kind::kCall;
  StopItem(broken ? "incomplete" : "completed", out);
  constexpr std::string_view kPrefixes[] = {"rs_", "msg_", "fc_"};
  item.id = TurnItemId(kPrefixes[static_cast<size_t>(item.kind)], handle_, std::ssize(items_));
  items_.push_back(std::move(item));
  item_open_ = true;
  if (!streams()) return;
  Send("response.output_item.added",
       {{"output_index", items_.size() - 1}, {"item", ItemJson(items_.back(), true)}}, out);
  if (items_.back().kind == OutputItem::Kind::kCall) return;
  SendInItem("response.content_part.added",
             {{"content_index", 0}, {"part", PartJson(items_.back(), true)}}, out);
}

void ResponsesWriter::AddDelta(const std::string& text, std::string& out) {
  OutputItem& item = items_.back();
  item.text += text;
  switch (item.kind) {
    case OutputItem::Kind::kReasoning:
      return SendInItem("response.reasoning_text.delta", {{"content_index", 0}, {"delta", text}},
                        out);
    case OutputItem::Kind::kCall:
      return SendInItem("response.function_call_arguments.delta", {{"delta", text}}, out);
    case OutputItem::Kind::kMessage:
      break;
  }
  Json logprobs = logprobs_ ? logprobs_->Take(text) : Json::array();
  item.logprobs.insert(item.logprobs.end(), logprobs.begin(), logprobs.end());
  SendInItem("response.output_text.delta",
             {{"content_index", 0}, {"delta", text}, {"logprobs", std::move(logprobs)}}, out);
}

void ResponsesWriter::StopItem(std::string_view status, std::string& out) {
  if (!std::exchange(item_open_, false)) return;
  items_.back().status = status;
  if (streams()) SendDone(out);
}

void ResponsesWriter::SendDone(std::string& out) {
  const OutputItem& item = items_.back();
  switch (item.kind) {
    case OutputItem::Kind::kReasoning:
      SendInItem("response.reasoning_text.done", {{"content_index", 0}, {"text", item.text}}, out);
      break;
    case OutputItem::Kind::kMessage:
      SendInItem("response.output_text.done",
                 {{"content_index", 0}, {"text", item.text}, {"logprobs", item.logprobs}}, out);
      break;
    case OutputItem::Kind::kCall:
      SendInItem("response.function_call_arguments.done",
                 {{"name", item.name}, {"arguments", item.text}}, out);
      break;
  }
  if (item.kind != OutputItem::Kind::kCall) {
    SendInItem("response.content_part.done",
               {{"content_index", 0}, {"part", PartJson(item, false)}}, out);
  }
  Send("response.output_item.done",
       {{"output_index", items_.size() - 1}, {"item", ItemJson(item, false)}}, out);
}

void ResponsesWriter::SendInItem(std::string_view type, Json more, std::string& out) {
  more["item_id"] = items_.back().id;
  more["output_index"] = items_.size() - 1;
  Send(type, std::move(more), out);
}

void ResponsesWriter::Send(std::string_view type, Json more, std::string& out) {
  if (!streams()) return;
  Json event = {{"type", type}, {"sequence_number", sequence_number_++}};
  for (auto& [key, value] : more.items()) event[key] = std::move(value);
  AppendSse(out, type, event);
}

// `empty`: as it begins.
Json ResponsesWriter::PartJson(const OutputItem& item, bool empty) const {
  const std::string text = empty ? "" : item.text;
  if (item.kind == OutputItem::Kind::kReasoning) {
    return {{"type", "reasoning_text"}, {"text", text}};
  }
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", empty ? Json::array() : item.logprobs}};
}

Json ResponsesWriter::ItemJson(const OutputItem& item, bool empty) const {
  Json content = Json::array();
  if (!empty && item.kind != OutputItem::Kind::kCall) content.push_back(PartJson(item, false));
  switch (item.kind) {
    case OutputItem::Kind::kReasoning: {
      Json reasoning = {{"id", item.id},
                        {"type", "reasoning"},
                        {"summary", Json::array()},
                        {"content", std::move(content)},
                        {"status", item.status}};
      if (request_.encrypts_reasoning) reasoning["encrypted_content"] = handle_;
      return reasoning;
    }
    case OutputItem::Kind::kMessage:
      return {{"id", item.id},
              {"type", "message"},
              {"status", item.status},
              {"role", "assistant"},
              {"content", std::move(content)}};
    case OutputItem::Kind::kCall:
      break;
  }
  return {{"id", item.id},         {"type", "function_call"},
          {"status", item.status}, {"call_id", item.call_id},
          {"name", item.name},     {"arguments", empty ? "" : item.text}};
}

Json ResponsesWriter::UsageJson() const {
  if (!usage_) return nullptr;
  return WithCost({{"input_tokens", usage_->prompt_tokens},
                   {"input_tokens_details",
                    {{"cached_tokens", usage_->cached_tokens}, {"cache_write_tokens", 0}}},
                   {"output_tokens", usage_->output_tokens},
                   {"output_tokens_details", {{"reasoning_tokens", usage_->reasoning_tokens}}},
                   {"total_tokens", usage_->prompt_tokens + usage_->output_tokens}});
}

Json ResponsesWriter::Response(bool with_output) const {
  Json output = Json::array();
  if (with_output) {
    for (const OutputItem& item : items_) output.push_back(ItemJson(item, false));
  }
  Json response = {{"id", id()},
                   {"object", "response"},
                   {"created_at", created_},
                   {"status", status_},
                   {"background", false},
                   {"error", error_},
                   {"incomplete_details", incomplete_details_},
                   {"model", model_},
                   {"output", std::move(output)},
                   {"usage", UsageJson()}};
  response.update(request_.echo);
  return response;
}

}  // namespace

ApiResult<std::unique_ptr<ResponsesCall>> ParseOpenAiResponses(const Json& body,
                                                               const ReferredItems& referred) {
  FULMEN_API_ASSIGN(ResponsesRequest request, ReadResponsesRequest(body, referred));
  return std::make_unique<ResponsesWriter>(std::move(request));
}

ApiResult<Generation> ParseResponsesCount(const Json& body, const ReferredItems& referred) {
  return ReadResponsesPrompt(body, referred);
}

Json ResponsesCount(int64_t tokens) {
  return {{"object", "response.input_tokens"}, {"input_tokens", tokens}};
}

}  // namespace fulmen
