#include "serve/minimax_chat.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "serve/answer_text.h"
#include "serve/chat_messages_in.h"
#include "serve/openai_words.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"
#include "serve/turn_ids.h"

namespace fulmen {
namespace {

constexpr const char* kAssistantName = "MiniMax AI";
constexpr int kInsufficientBalance = 1008;

// What the hosted API takes for what a request does not say. A model that is called otherwise has
// its own defaults.
struct ModelDefaults {
  std::string_view in_name;  // in lower case
  int64_t max_tokens;
  double temperature;
};
constexpr ModelDefaults kDefaults[] = {
    {"m1", 8192, 1.0}, {"m2", 10240, 1.0}, {"text-01", 2048, 0.1}, {"vl-01", 2048, 0.1}};
constexpr double kDefaultTopP = 0.95;

// 32 hexadecimal digits.
std::string NewId() {
  thread_local std::random_device entropy;
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", static_cast<uint32_t>(entropy()));
  return id;
}

class MiniMaxChat : public ApiCall {
 public:
  MiniMaxChat(bool stream, Generation generation)
      : ApiCall(ApiStyle::kMiniMax, NewId(), stream, {}) {
    generations().push_back(std::move(generation));
  }

  void Begin(std::vector<AnswerStart> starts, std::string&) override {
    start_.emplace(std::move(starts.at(0)));
  }

  void On(size_t, const Event& event, std::string& out) override {
    if (const auto* done = std::get_if<RequestDone>(&event)) {
      usage_ = done->usage;
      if (streams()) AppendSse(out, "", Answer());
    } else if (ChoiceOf(event)) {
      const AnswerStep step = said_.Add(event);
      if (streams()) AppendStep(step, out);
    }
  }

  void Fail(const ApiError& error, std::string& out) override {
    AppendSse(out, "", ErrorBody(style(), error, id()));
  }

  // Also the last event of a stream.
  Json Answer() const override {
    Json message = Message(said_.content());
    if (!said_.reasoning().empty()) message["reasoning_content"] = said_.reasoning();
    for (size_t i = 0; i < said_.calls().size(); ++i) {
      const CallInAnswer& call = said_.calls()[i];
      Json one = CallHead(i, call.name);
      one["function"]["arguments"] = call.arguments;
      message["tool_calls"].push_back(std::move(one));
    }
    Json answer =
        Frame("chat.completion",
              {{"finish_reason", FinishReasonOf()}, {"index", 0}, {"message", std::move(message)}});
    answer["usage"] =
        WithCost({{"total_tokens", usage_.prompt_tokens + usage_.output_tokens},
                  {"total_characters", 0},
                  {"prompt_tokens", usage_.prompt_tokens},
                  {"completion_tokens", usage_.output_tokens},
                  {"prompt_tokens_details", {{"cached_tokens", usage_.cached_tokens}}},
                  {"completion_tokens_details", {{"reasoning_tokens", usage_.reasoning_tokens}}}});
    const bool cut = said_.finish() == FinishReason::kAllowance;
    answer["base_resp"] = {{"status_code", cut ? kInsufficientBalance : 0},
                           {"status_msg", cut ? "insufficient balance" : ""}};
    return answer;
  }

 private:
  Json Frame(std::string_view object, Json choice) const {
    Json choices = Json::array();
    choices.push_back(std::move(choice));
    return {{"id", id()},
            {"choices", std::move(choices)},
            {"created", start_->created},
            {"model", start_->model},
            {"object", object},
            {"input_sensitive", false},
            {"output_sensitive", false},
            {"input_sensitive_type", 0},
            {"output_sensitive_type", 0},
            {"output_sensitive_int", 0}};
  }

  static Json Message(std::string_view content) {
    return {{"content", content},
            {"role", "assistant"},
            {"name", kAssistantName},
            {"audio_content", ""}};
  }

  Json CallHead(size_t index, std::string_view name) const {
    const std::string id =
        TurnItemId("call_function_", start_->handles.at(0), static_cast<int64_t>(index));
    return {{"id", id},
            {"type", "function"},
            {"function", {{"name", name}, {"arguments", ""}}},
            {"index", index}};
  }

  Json FinishReasonOf() const {
    return said_.finish() ? Json(OpenAiFinishReason(*said_.finish())) : Json();
  }

  void AppendStep(const AnswerStep& step, std::string& out) const {
    Json delta = Message("");
    switch (step.kind) {
      case AnswerStep::Kind::kNothing:
      case AnswerStep::Kind::kCallEnd:
        return;
      case AnswerStep::Kind::kReasoning:
        delta["reasoning_content"] = step.text;
        break;
      case AnswerStep::Kind::kContent:
        delta["content"] = step.text;
        break;
      case AnswerStep::Kind::kCall:
        delta["tool_calls"].push_back(CallHead(step.call, step.text));
        break;
      case AnswerStep::Kind::kArguments:
        delta["tool_calls"].push_back(
            {{"function", {{"arguments", step.text}}}, {"index", step.call}});
        break;
      case AnswerStep::Kind::kFinish:
        if (said_.finish() == FinishReason::kError) return;  // Fail follows
        break;
    }
    Json choice = {{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", FinishReasonOf()}};
    AppendSse(out, "", Frame("chat.completion.chunk", std::move(choice)));
  }

  std::optional<AnswerStart> start_;
  AnswerText said_;
  Usage usage_;
};

// What follows reads requests.

// The roles of M2-her: examples of a dialogue are turns of one; of what speakers are, and of
// groups, the chat formats of this family know nothing.
ApiResult<void> MapRoles(Json& body) {
  const auto messages = body.find("messages");
  if (messages == body.end() || !messages->is_array()) return {};
  for (size_t i = 0; i < messages->size(); ++i) {
    Json& message = (*messages)[i];
    const Json& role = Member(message, "role");
    if (role == "sample_message_user") {
      message["role"] = "user";
    } else if (role == "sample_message_ai") {
      message["role"] = "assistant";
    } else if (role == "user_system" || role == "group") {
      return ApiFail(ApiErrorKind::kUnsupported, fmt::format("messages[{}].role", i),
                     "the role {} is not supported", Shown(role));
    }
  }
  return {};
}

ApiResult<ChatPrompt> ReadPrompt(Json& body, const Fields& fields, Generation& generation) {
  ChatPrompt prompt;
  StrictTools strict;
  FULMEN_API_ASSIGN(prompt.tools, ReadTools(body, {.needs_description = true}, strict));
  const Json& choice = fields.At("tool_choice");
  if (choice == "none") {
    prompt.tools = nullptr;
  } else if (!choice.is_null() && choice != "auto") {
    return fields.Wrong("tool_choice", "\"auto\" or \"none\"");
  }
  FULMEN_API_TRY(AddCalls(prompt.tools, strict, {}, generation.rules));
  FULMEN_API_TRY(MapRoles(body));
  FULMEN_API_ASSIGN(prompt.messages, ReadMessages(body, {.model = generation.model,
                                                         .needs_tool_call_id = false,
                                                         .skips_named_system = true}));
  return prompt;
}

// These are narrower here than elsewhere.
ApiResult<void> CheckSampling(const Fields& fields) {
  for (const char* name : {"temperature", "top_p"}) {
    const Json& value = fields.At(name);
    if (value.is_null()) continue;
    const bool good = value.is_number() && value.get<double>() > 0 && value.get<double>() <= 1;
    if (!good) return fields.Wrong(name, "a number above 0, and at most 1");
  }
  return {};
}

ApiResult<void> ReadLength(const Fields& fields, Generation& generation) {
  FULMEN_API_ASSIGN(generation.max_tokens, fields.Integer("max_completion_tokens", 1, kMostTokens));
  FULMEN_API_ASSIGN(const auto older, fields.Integer("max_tokens", 1, kMostTokens));
  if (!generation.max_tokens) generation.max_tokens = older;
  return {};
}

void FillIn(Generation& generation) {
  std::string name = generation.model;
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  for (const ModelDefaults& defaults : kDefaults) {
    if (name.find(defaults.in_name) == std::string::npos) continue;
    SamplingRequest& sampling = generation.sampling;
    if (!generation.max_tokens) generation.max_tokens = defaults.max_tokens;
    if (!sampling.temperature) sampling.temperature = defaults.temperature;
    if (!sampling.top_p) sampling.top_p = kDefaultTopP;
    return;
  }
}

ApiResult<void> RefuseForMiniMax(const Fields& fields) {
  FULMEN_API_TRY(RefuseUnsupported(fields));
  constexpr UnsupportedField kRefused[] = {
      {"mask_sensitive_info"},
      {"n", 1},
      {"logprobs"},
      {"top_logprobs", 0},
  };
  return RefuseUnsupported(fields, kRefused);
}

}  // namespace

ApiResult<std::unique_ptr<ApiCall>> ParseMiniMaxChat(Json body) {
  FULMEN_API_ASSIGN(const Fields fields, RequestFields(body));
  Generation generation;
  FULMEN_API_ASSIGN(generation.model, ReadModelName(fields));
  if (generation.model.empty()) return fields.Wrong("model", "the name of a model");
  FULMEN_API_TRY(RefuseForMiniMax(fields));
  FULMEN_API_TRY(ReadLength(fields, generation));
  FULMEN_API_TRY(CheckSampling(fields));
  FULMEN_API_TRY(ReadSampling(fields, generation));
  FillIn(generation);
  FULMEN_API_ASSIGN(const StreamFields stream, ReadStreamFields(fields));
  FULMEN_API_ASSIGN(generation.prompt, ReadPrompt(body, fields, generation));
  return std::make_unique<MiniMaxChat>(stream.stream, std::move(generation));
}

}  // namespace fulmen
