// Fields of a request, and what becomes of them:
//
//   honoured  model messages tools tool_choice parallel_tool_calls max_completion_tokens max_tokens
//             n stream stream_options.include_usage return_progress logprobs top_logprobs
//             include_reasoning add_generation_prompt continue_final_message and those of
//             ReadSampling
//   refused   what asks for something that is not there: images, sound and files, modalities other
//             than text, reasoning_split: false, kRefusedInChat and those of RefuseUnsupported
//   ignored   what changes nothing here. Accounting and routing: user, safety_identifier, metadata,
//             store, service_tier, prompt_cache_key, prompt_cache_options, prompt_cache_retention,
//             request_id, cache_prompt. Speed: prediction, stream_options.include_obfuscation.
//             Hints to models that know them, which this family does not: reasoning_effort,
//             verbosity, thinking, chat_template_kwargs. Services we are not: moderation,
//             web_search_options. All that is named nowhere here
#include "serve/openai_chat.h"

#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "serve/answer_text.h"
#include "serve/chat_messages_in.h"
#include "serve/openai_words.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"
#include "serve/turn_ids.h"

namespace fulmen {
namespace {

constexpr UnsupportedField kRefusedInChat[] = {
    {"audio"}, {"functions"}, {"chat_template"}, {"documents"}, {"echo"}, {"best_of", 1},
};

struct ChatOptions {
  StreamFields stream;
  bool one_call = false;  // parallel_tool_calls: false
  bool with_reasoning = true;
  bool with_progress = false;  // return_progress
};

class OpenAiChat : public ApiCall {
 public:
  OpenAiChat(const ChatOptions& options, Generation generation)
      : ApiCall(ApiStyle::kOpenAi, RandomId("chatcmpl-"), options.stream.stream, {}),
        options_(options) {
    generations().push_back(std::move(generation));
  }

  void Begin(std::vector<AnswerStart> starts, std::string& out) override {
    start_.emplace(std::move(starts.at(0)));
    choices_.assign(start_->handles.size(), AnswerText(options_.one_call));
    for (size_t i = 0; streams() && i < choices_.size(); ++i) {
      AppendChoice(i, {{"role", "assistant"}, {"content", ""}}, out);
    }
  }

  void On(size_t, const Event& event, std::string& out) override {
    if (const auto* done = std::get_if<RequestDone>(&event)) {
      usage_ = done->usage;
      timings_ = TimingsJson(*done);
      if (streams()) AppendEnd(out);
    } else if (const auto* progress = std::get_if<PromptProgress>(&event)) {
      if (streams() && options_.with_progress) AppendProgress(*progress, out);
    } else if (const auto choice = ChoiceOf(event)) {
      const AnswerStep step = choices_.at(*choice).Add(event);
      if (streams()) AppendStep(*choice, step, out);
    }
  }

  void Fail(const ApiError& error, std::string& out) override {
    AppendSse(out, "", ErrorBody(style(), error, id()));
    AppendSseText(out, "", kOpenAiDone);
  }

  Json Answer() const override {
    Json answer = Head("chat.completion");
    for (size_t i = 0; i < choices_.size(); ++i) answer["choices"].push_back(WholeChoice(i));
    answer["usage"] = WithCost(OpenAiUsage(usage_));
    if (options_.with_progress) answer["timings"] = timings_;
    return answer;
  }

 private:
  Json Head(std::string_view object) const {
    return {{"id", id()},
            {"object", object},
            {"created", start_->created},
            {"model", start_->model},
            {"choices", Json::array()}};
  }

  Json LogprobsOf(std::span<const TokenSampled> tokens) const {
    if (tokens.empty()) return nullptr;
    return {{"content", OpenAiLogprobs(tokens, start_->tokenizer)}, {"refusal", nullptr}};
  }

  std::string CallId(size_t choice, size_t call) const {
    return TurnItemId("call_", start_->handles[choice], static_cast<int64_t>(call));
  }

  Json WholeChoice(size_t index) const {
    const AnswerText& said = choices_[index];
    const bool only_calls = said.content().empty() && !said.calls().empty();
    Json message = {{"role", "assistant"},
                    {"content", only_calls ? Json() : Json(said.content())},
                    {"refusal", nullptr}};
    if (options_.with_reasoning && !said.reasoning().empty()) {
      message["reasoning_content"] = said.reasoning();
    }
    for (size_t i = 0; i < said.calls().size(); ++i) {
      const CallInAnswer& call = said.calls()[i];
      message["tool_calls"].push_back(
          {{"id", CallId(index, i)},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    Json choice = {{"index", index},
                   {"message", std::move(message)},
                   {"logprobs", LogprobsOf(said.content_tokens())},
                   {"finish_reason", FinishReasonOf(said)}};
    if (Json reason = StopReasonOf(said); !reason.is_null()) choice["stop_reason"] = reason;
    return choice;
  }

  static Json FinishReasonOf(const AnswerText& said) {
    return said.finish() ? Json(OpenAiFinishReason(*said.finish())) : Json();
  }

  // What follows writes chunks.

  void AppendStep(size_t index, const AnswerStep& step, std::string& out) const {
    switch (step.kind) {
      case AnswerStep::Kind::kNothing:
      case AnswerStep::Kind::kCallEnd:
        return;
      case AnswerStep::Kind::kReasoning:
        if (!options_.with_reasoning) return;
        return AppendChoice(index, {{"reasoning_content", step.text}}, out);
      case AnswerStep::Kind::kContent:
        return AppendChoice(index, {{"content", step.text}}, out, LogprobsOf(step.tokens));
      case AnswerStep::Kind::kCall:
        return AppendCall(index,
                          {{"index", step.call},
                           {"id", CallId(index, step.call)},
                           {"type", "function"},
                           {"function", {{"name", step.text}, {"arguments", ""}}}},
                          out);
      case AnswerStep::Kind::kArguments:
        return AppendCall(index, {{"index", step.call}, {"function", {{"arguments", step.text}}}},
                          out);
      case AnswerStep::Kind::kFinish:
        return AppendFinish(index, out);
    }
  }

  void AppendCall(size_t index, Json call, std::string& out) const {
    Json calls = Json::array();
    calls.push_back(std::move(call));
    AppendChoice(index, {{"tool_calls", std::move(calls)}}, out);
  }

  void AppendChoice(size_t index, Json delta, std::string& out, Json logprobs = nullptr) const {
    AppendChunk({{"index", index},
                 {"delta", std::move(delta)},
                 {"logprobs", std::move(logprobs)},
                 {"finish_reason", nullptr}},
                out);
  }

  void AppendFinish(size_t index, std::string& out) const {
    const AnswerText& said = choices_[index];
    if (said.finish() == FinishReason::kError) return;  // Fail follows
    Json choice = {{"index", index},
                   {"delta", Json::object()},
                   {"logprobs", nullptr},
                   {"finish_reason", FinishReasonOf(said)}};
    if (Json reason = StopReasonOf(said); !reason.is_null()) choice["stop_reason"] = reason;
    AppendChunk(std::move(choice), out);
  }

  void AppendChunk(Json choice, std::string& out) const {
    Json chunk = Head("chat.completion.chunk");
    chunk["choices"].push_back(std::move(choice));
    if (options_.stream.include_usage) chunk["usage"] = nullptr;
    AppendSse(out, "", chunk);
  }

  // The first and the last are always told; one comes with each step of the engine.
  void AppendProgress(const PromptProgress& progress, std::string& out) {
    constexpr double kBetween = 0.1;  // seconds
    const double now = SteadySeconds();
    if (!admitted_) admitted_ = now;
    if (told_ && progress.read < progress.total && now - *told_ < kBetween) return;
    told_ = now;
    Json chunk = Head("chat.completion.chunk");
    if (options_.stream.include_usage) chunk["usage"] = nullptr;
    chunk["prompt_progress"] = {{"total", progress.total},
                                {"cache", progress.cached},
                                {"processed", progress.read},
                                {"time_ms", std::llround((now - *admitted_) * 1e3)}};
    AppendSse(out, "", chunk);
  }

  void AppendEnd(std::string& out) const {
    if (options_.stream.include_usage || options_.with_progress) {
      Json chunk = Head("chat.completion.chunk");
      if (options_.stream.include_usage) chunk["usage"] = WithCost(OpenAiUsage(usage_));
      if (options_.with_progress) chunk["timings"] = timings_;
      AppendSse(out, "", chunk);
    }
    AppendSseText(out, "", kOpenAiDone);
  }

  const ChatOptions options_;
  std::optional<AnswerStart> start_;
  std::vector<AnswerText> choices_;
  Usage usage_;
  Json timings_;
  // By the steady clock, when the reading of the prompt began and was last told of.
  std::optional<double> admitted_;
  std::optional<double> told_;
};

// What follows reads requests.

const std::string& NameOfTool(const Json& tool) {
  return tool.at("function").at("name").get_ref<const std::string&>();
}

// Keeps of `tools` those that `allowed` names.
ApiResult<void> KeepAllowed(const Fields& allowed, Json& tools) {
  std::set<std::string> known;
  for (const Json& tool : tools) known.insert(NameOfTool(tool));
  FULMEN_API_ASSIGN(const Json* list, allowed.NeededList("tools"));
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    FULMEN_API_ASSIGN(const Fields tool, Fields::Of((*list)[i], allowed.PathOf("tools", i)));
    FULMEN_API_ASSIGN(const Fields function,
                      Fields::Of(tool.At("function"), tool.PathOf("function")));
    FULMEN_API_ASSIGN(std::string name, function.NeededString("name"));
    if (!known.contains(name)) return function.Wrong("name", "the name of one of the tools");
    names.insert(std::move(name));
  }
  Json kept = Json::array();
  for (Json& tool : tools) {
    if (names.contains(NameOfTool(tool))) kept.push_back(std::move(tool));
  }
  tools = kept.empty() ? Json() : std::move(kept);
  return {};
}

// What may and must be called; of `tools` those stay that are shown to the model.
ApiResult<AskedCalls> ReadToolChoice(const Fields& fields, Json& tools) {
  const Json& choice = fields.At("tool_choice");
  AskedCalls asked = {.where = "tool_choice"};
  if (choice == "none") tools = nullptr;
  asked.required = choice == "required";
  if (choice.is_null() || choice == "auto" || choice == "none" || asked.required) return asked;
  const std::string expected = "auto, none, required, or an object that names a function or tools";
  if (!choice.is_object()) return fields.Wrong("tool_choice", expected);
  FULMEN_API_ASSIGN(const Fields object, Fields::Of(choice, "tool_choice"));
  FULMEN_API_ASSIGN(const std::string type, object.NeededString("type"));
  if (type == "function") {
    FULMEN_API_ASSIGN(const Fields function,
                      Fields::Of(object.At("function"), object.PathOf("function")));
    FULMEN_API_ASSIGN(asked.only, function.NeededString("name"));
    asked.required = true;
    asked.where = function.PathOf("name");
    return asked;
  }
  if (type != "allowed_tools") return object.Wrong("type", "function or allowed_tools");
  FULMEN_API_ASSIGN(const Fields allowed,
                    Fields::Of(object.At("allowed_tools"), object.PathOf("allowed_tools")));
  FULMEN_API_ASSIGN(const std::string mode, allowed.NeededString("mode"));
  if (mode != "auto" && mode != "required") return allowed.Wrong("mode", "auto or required");
  asked.required = mode == "required";
  FULMEN_API_TRY(KeepAllowed(allowed, tools));
  return asked;
}

// What would change the answer, and is not there.
ApiResult<void> RefuseForChat(const Fields& fields) {
  FULMEN_API_TRY(RefuseUnsupported(fields));
  FULMEN_API_TRY(RefuseUnsupported(fields, kRefusedInChat));
  FULMEN_API_ASSIGN(const Json* modalities, fields.List("modalities"));
  for (const Json& modality : *modalities) {
    if (modality == "text") continue;
    return ApiFail(ApiErrorKind::kUnsupported, "modalities", "answers are text, found {}",
                   Shown(modality));
  }
  FULMEN_API_ASSIGN(const bool split, fields.Bool("reasoning_split", true));
  if (split) return {};
  return ApiFail(ApiErrorKind::kUnsupported, "reasoning_split",
                 "thoughts are always told apart from the text, so only true is supported");
}

ApiResult<void> ReadLengthAndLogprobs(const Fields& fields, Generation& generation) {
  FULMEN_API_ASSIGN(generation.max_tokens, fields.Integer("max_completion_tokens", 0, kMostTokens));
  FULMEN_API_ASSIGN(const auto older, fields.Integer("max_tokens", 0, kMostTokens));
  if (!generation.max_tokens) generation.max_tokens = older;
  FULMEN_API_ASSIGN(const auto choices, fields.Integer("n", 1, kMostChoices));
  generation.choices = choices.value_or(1);
  FULMEN_API_ASSIGN(const bool logprobs, fields.Bool("logprobs", false));
  FULMEN_API_ASSIGN(const auto top, fields.Integer("top_logprobs", 0, kMostTopLogprobs));
  if (logprobs) generation.top_logprobs = top.value_or(0);
  if (top.value_or(0) > 0 && !logprobs) {
    return ApiFail(ApiErrorKind::kInvalid, "top_logprobs", "expected logprobs: true beside it");
  }
  return {};
}

ApiResult<ChatPrompt> ReadPrompt(Json& body, const Fields& fields, bool one_call,
                                 Generation& generation) {
  ChatPrompt prompt;
  FULMEN_API_ASSIGN(prompt.continue_final, fields.Bool("continue_final_message", false));
  FULMEN_API_ASSIGN(prompt.add_generation_prompt,
                    fields.Bool("add_generation_prompt", !prompt.continue_final));
  if (prompt.continue_final && prompt.add_generation_prompt) {
    return ApiFail(ApiErrorKind::kInvalid, "add_generation_prompt",
                   "expected false beside continue_final_message, found true");
  }
  StrictTools strict;
  FULMEN_API_ASSIGN(prompt.tools, ReadTools(body, {}, strict));
  FULMEN_API_ASSIGN(AskedCalls asked, ReadToolChoice(fields, prompt.tools));
  asked.one_call = one_call;
  FULMEN_API_TRY(AddCalls(prompt.tools, strict, asked, generation.rules));
  FULMEN_API_ASSIGN(
      prompt.messages,
      ReadMessages(body, {.model = generation.model, .continues_final = prompt.continue_final}));
  return prompt;
}

}  // namespace

ApiResult<std::unique_ptr<ApiCall>> ParseOpenAiChat(Json body) {
  FULMEN_API_ASSIGN(const Fields fields, RequestFields(body));
  Generation generation;
  ChatOptions options;
  FULMEN_API_ASSIGN(generation.model, ReadModelName(fields));
  FULMEN_API_TRY(RefuseForChat(fields));
  FULMEN_API_TRY(ReadLengthAndLogprobs(fields, generation));
  FULMEN_API_TRY(ReadSampling(fields, generation));
  FULMEN_API_ASSIGN(options.stream, ReadStreamFields(fields));
  FULMEN_API_ASSIGN(const bool parallel, fields.Bool("parallel_tool_calls", true));
  options.one_call = !parallel;
  FULMEN_API_ASSIGN(options.with_reasoning, fields.Bool("include_reasoning", true));
  FULMEN_API_ASSIGN(options.with_progress, fields.Bool("return_progress", false));
  FULMEN_API_ASSIGN(generation.prompt, ReadPrompt(body, fields, options.one_call, generation));
  return std::make_unique<OpenAiChat>(options, std::move(generation));
}

}  // namespace fulmen
