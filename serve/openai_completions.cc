#include "serve/openai_completions.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "serve/answer_text.h"
#include "serve/openai_words.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"

namespace fulmen {
namespace {

constexpr int64_t kMostAnswers = 1024;
constexpr int64_t kMostLogprobs = 5;
constexpr int64_t kDefaultTokens = 16;

struct CompletionOptions {
  StreamFields stream;
  bool echo = false;
};

// Log probabilities as this API has them: parallel lists. Offsets count characters of the choice's
// text.
class LogprobLists {
 public:
  explicit LogprobLists(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  // Null where there are no tokens.
  Json Add(std::span<const TokenSampled> tokens) {
    if (tokens.empty()) return nullptr;
    Json texts = Json::array();
    Json logprobs = Json::array();
    Json tops = Json::array();
    Json offsets = Json::array();
    for (const TokenSampled& token : tokens) {
      std::string text = TokenText(*tokenizer_, token.id);
      const double logprob = ToldLogprob(token.logprob.value_or(0));
      Json top = Json::object();
      for (const TokenLogprob& other : token.top) {  // of two with one text the more probable
        top.emplace(TokenText(*tokenizer_, other.id), ToldLogprob(other.logprob));
      }
      top.emplace(text, logprob);
      tops.push_back(std::move(top));
      logprobs.push_back(logprob);
      texts.push_back(std::move(text));
      offsets.push_back(offset_);
      for (const char byte : tokenizer_->TokenBytes(token.id).value_or("")) {
        if ((byte & 0xC0) != 0x80) ++offset_;  // a character begins
      }
    }
    return {{"tokens", std::move(texts)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

 private:
  const Tokenizer* tokenizer_;
  int64_t offset_ = 0;
};

class OpenAiCompletions : public ApiCall {
 public:
  OpenAiCompletions(const CompletionOptions& options, std::vector<Generation> asked)
      : ApiCall(ApiStyle::kOpenAi, RandomId("cmpl-"), options.stream.stream, std::move(asked)),
        options_(options) {
    for (const Generation& generation : generations()) {
      const auto* prompt = std::get_if<TextPrompt>(&generation.prompt);
      echoes_.push_back(options.echo && prompt ? prompt->text : "");
    }
  }

  void Begin(std::vector<AnswerStart> starts, std::string& out) override {
    starts_ = std::move(starts);
    for (size_t prompt = 0; prompt < starts_.size(); ++prompt) {
      const AnswerStart& start = starts_[prompt];
      std::string& echo = echoes_.at(prompt);
      if (options_.echo && echo.empty()) echo = Text(start);
      first_.push_back(choices_.size());
      for (size_t i = 0; i < start.handles.size(); ++i) {
        if (streams() && options_.echo) AppendText(choices_.size(), echo, nullptr, out);
        choices_.push_back({prompt, AnswerText(), LogprobLists(start.tokenizer)});
      }
    }
  }

  void On(size_t generation, const Event& event, std::string& out) override {
    if (const auto* done = std::get_if<RequestDone>(&event)) {
      usage_ = usage_ + done->usage;
      if (++done_ == starts_.size() && streams()) AppendEnd(out);
      return;
    }
    const auto choice = ChoiceOf(event);
    if (!choice) return;
    const size_t index = first_.at(generation) + *choice;
    const AnswerStep step = choices_.at(index).said.Add(event);
    if (!streams()) return;
    if (step.kind == AnswerStep::Kind::kContent) {
      AppendText(index, step.text, choices_[index].logprobs.Add(step.tokens), out);
    } else if (step.kind == AnswerStep::Kind::kFinish) {
      AppendFinish(index, out);
    }
  }

  void Fail(const ApiError& error, std::string& out) override {
    AppendSse(out, "", ErrorBody(style(), error, id()));
    AppendSseText(out, "", kOpenAiDone);
  }

  Json Answer() const override {
    Json answer = Head();
    for (size_t i = 0; i < choices_.size(); ++i) {
      const auto& [prompt, said, _] = choices_[i];
      LogprobLists logprobs(starts_[prompt].tokenizer);
      answer["choices"].push_back(OneChoice(i, echoes_[prompt] + said.content(),
                                            logprobs.Add(said.content_tokens()), &said));
    }
    answer["usage"] = WithCost(OpenAiUsage(usage_));
    return answer;
  }

 private:
  struct Choice {
    size_t prompt;
    AnswerText said;
    LogprobLists logprobs;  // of a stream
  };

  static std::string Text(const AnswerStart& start) {
    std::string text;
    for (const int32_t id : start.prompt) text += start.tokenizer.TokenBytes(id).value_or("");
    return ReplaceInvalidUtf8(text);
  }

  Json Head() const {
    return {{"id", id()},
            {"object", "text_completion"},
            {"created", starts_.at(0).created},
            {"model", starts_.at(0).model},
            {"choices", Json::array()}};
  }

  // `finished`: null while more follows.
  static Json OneChoice(size_t index, std::string_view text, Json logprobs,
                        const AnswerText* finished) {
    Json choice = {{"text", text},
                   {"index", index},
                   {"logprobs", std::move(logprobs)},
                   {"finish_reason", nullptr}};
    if (finished && finished->finish()) {
      choice["finish_reason"] = OpenAiFinishReason(*finished->finish());
      if (Json reason = StopReasonOf(*finished); !reason.is_null()) choice["stop_reason"] = reason;
    }
    return choice;
  }

  void AppendText(size_t index, std::string_view text, Json logprobs, std::string& out) const {
    AppendChunk(OneChoice(index, text, std::move(logprobs), nullptr), out);
  }

  void AppendFinish(size_t index, std::string& out) const {
    const AnswerText& said = choices_[index].said;
    if (said.finish() == FinishReason::kError) return;  // Fail follows
    AppendChunk(OneChoice(index, "", nullptr, &said), out);
  }

  void AppendChunk(Json choice, std::string& out) const {
    Json chunk = Head();
    chunk["choices"].push_back(std::move(choice));
    if (options_.stream.include_usage) chunk["usage"] = nullptr;
    AppendSse(out, "", chunk);
  }

  void AppendEnd(std::string& out) const {
    if (options_.stream.include_usage) {
      Json chunk = Head();
      chunk["usage"] = WithCost(OpenAiUsage(usage_));
      AppendSse(out, "", chunk);
    }
    AppendSseText(out, "", kOpenAiDone);
  }

  const CompletionOptions options_;
  std::vector<std::string> echoes_;  // of each prompt; empty where it is not given back
  std::vector<AnswerStart> starts_;  // of each prompt
  std::vector<size_t> first_;        // choice of each prompt
  std::vector<Choice> choices_;
  size_t done_ = 0;  // prompts
  Usage usage_;
};

using AskedPrompt = decltype(Generation::prompt);

ApiResult<AskedPrompt> ReadTokens(const Json& list, std::string path) {
  TokenPrompt prompt;
  for (const Json& id : list) {
    const auto number = IntegerIn(id, 0, kMostTokens);
    if (!number) {
      return ApiFail(ApiErrorKind::kInvalid, std::move(path),
                     "expected token ids alone, found {} among them", Shown(id));
    }
    prompt.ids.push_back(static_cast<int32_t>(*number));
  }
  return prompt;
}

// One prompt: a string, or a list of tokens.
ApiResult<AskedPrompt> ReadPrompt(Json& json, std::string path) {
  if (json.is_string() && !json.get_ref<const std::string&>().empty()) {
    return TextPrompt{std::move(json.get_ref<std::string&>())};
  }
  if (json.is_array() && !json.empty()) return ReadTokens(json, std::move(path));
  return ApiFail(ApiErrorKind::kInvalid, std::move(path),
                 "expected text or a list of token ids, not empty, found {}",
                 json.is_null() ? "nothing" : Shown(json));
}

ApiResult<std::vector<AskedPrompt>> ReadPrompts(Json& body) {
  const auto found = body.find("prompt");
  Json json = found == body.end() ? Json() : std::move(*found);
  std::vector<AskedPrompt> prompts;
  const bool several = json.is_array() && !json.empty() && !json[0].is_number();
  if (!several) {
    FULMEN_API_ASSIGN(AskedPrompt prompt, ReadPrompt(json, "prompt"));
    prompts.push_back(std::move(prompt));
    return prompts;
  }
  for (size_t i = 0; i < json.size(); ++i) {
    FULMEN_API_ASSIGN(AskedPrompt prompt, ReadPrompt(json[i], fmt::format("prompt[{}]", i)));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

// What would change the answer, and is not there.
ApiResult<void> RefuseForCompletions(const Fields& fields, int64_t choices, bool streams) {
  FULMEN_API_TRY(RefuseUnsupported(fields));
  constexpr UnsupportedField kRefused[] = {{"suffix"}};
  FULMEN_API_TRY(RefuseUnsupported(fields, kRefused));
  FULMEN_API_ASSIGN(const auto best_of, fields.Integer("best_of", 0, kMostChoices));
  if (best_of.value_or(0) > choices) {
    return ApiFail(ApiErrorKind::kUnsupported, "best_of",
                   "all answers are given out, so at most n = {} is supported, found {}", choices,
                   *best_of);
  }
  if (streams && best_of.value_or(0) > 1) {
    return ApiFail(ApiErrorKind::kInvalid, "best_of", "expected no stream beside it, found {}",
                   *best_of);
  }
  return {};
}

// All but the prompt, which the generations of one request share.
ApiResult<Generation> ReadGeneration(const Fields& fields, const CompletionOptions& options) {
  Generation generation;
  FULMEN_API_ASSIGN(generation.model, ReadModelName(fields));
  FULMEN_API_ASSIGN(const auto max_tokens, fields.Integer("max_tokens", 0, kMostTokens));
  generation.max_tokens = max_tokens.value_or(kDefaultTokens);
  generation.max_tokens_must_fit = max_tokens.has_value();
  FULMEN_API_ASSIGN(const auto choices, fields.Integer("n", 1, kMostChoices));
  generation.choices = choices.value_or(1);
  FULMEN_API_ASSIGN(generation.top_logprobs, fields.Integer("logprobs", 0, kMostLogprobs));
  if (generation.top_logprobs && options.echo) {
    return ApiFail(ApiErrorKind::kUnsupported, "logprobs",
                   "log probabilities of the prompt are not told, so not beside echo");
  }
  FULMEN_API_TRY(ReadSampling(fields, generation));
  FULMEN_API_TRY(RefuseForCompletions(fields, generation.choices, options.stream.stream));
  return generation;
}

}  // namespace

ApiResult<std::unique_ptr<ApiCall>> ParseOpenAiCompletions(Json body) {
  FULMEN_API_ASSIGN(const Fields fields, RequestFields(body));
  CompletionOptions options;
  FULMEN_API_ASSIGN(options.stream, ReadStreamFields(fields));
  FULMEN_API_ASSIGN(options.echo, fields.Bool("echo", false));
  FULMEN_API_ASSIGN(const Generation shared, ReadGeneration(fields, options));
  FULMEN_API_ASSIGN(std::vector<AskedPrompt> prompts, ReadPrompts(body));
  if (std::ssize(prompts) * shared.choices > kMostAnswers) {
    return ApiFail(ApiErrorKind::kInvalid, "n",
                   "expected at most {} answers, found {} for each of {} prompts", kMostAnswers,
                   shared.choices, prompts.size());
  }
  std::vector<Generation> generations(prompts.size(), shared);
  for (size_t i = 0; i < prompts.size(); ++i) generations[i].prompt = std::move(prompts[i]);
  return std::make_unique<OpenAiCompletions>(options, std::move(generations));
}

}  // namespace fulmen
