#include "serve/prompts.h"

#include <algorithm>
#include <random>
#include <utility>

#include "engine/generate.h"
#include "serve/answer_text.h"
#include "serve/script.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

bool HasTools(const ChatPrompt& chat) { return chat.tools.is_array() && !chat.tools.empty(); }

AnswerText SaidBy(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                  AnswerFormat format) {
  StreamDecoder decoder(tokenizer);
  AnswerParser parser(format);
  AnswerText said;
  const auto take = [&said](const std::vector<AnswerPiece>& pieces) {
    for (const AnswerPiece& piece : pieces) said.AddPiece(piece);
  };
  for (const int32_t id : ids) take(parser.Add(decoder.Add(id)));
  take(parser.Add(decoder.Flush()));
  take(parser.Finish());
  return said;
}

bool SameArguments(const Json& sent, const std::string& said) {
  const auto parsed = [](const std::string& text) { return Json::parse(text, nullptr, false); };
  const Json ours = parsed(said);
  if (ours.is_discarded()) return false;
  return (sent.is_string() ? parsed(sent.get_ref<const std::string&>()) : sent) == ours;
}

// Whether the message is what was said. Thoughts may be missing: many clients do not send them
// back, or were never shown them.
bool SaysTheSame(const Json& message, const AnswerText& said) {
  const Json& reasoning = Member(message, "reasoning_content");
  const std::string thoughts = reasoning.is_string() ? reasoning.get<std::string>() : "";
  if (!thoughts.empty() && thoughts != said.reasoning()) return false;
  if (ContentText(Member(message, "content")) != said.content()) return false;
  const Json& calls = Member(message, "tool_calls");
  if ((calls.is_array() ? calls.size() : 0) != said.calls().size()) return false;
  for (size_t i = 0; i < said.calls().size(); ++i) {
    const Json& function = Member(calls[i], "function");
    if (Member(function, "name") != said.calls()[i].name) return false;
    if (!SameArguments(Member(function, "arguments"), said.calls()[i].arguments)) return false;
  }
  return true;
}

// The sampled tokens of each assistant's message, in their order; none where they are not known.
std::vector<std::optional<std::vector<int32_t>>> RecallTurns(const ServedModel& model,
                                                             const Json& messages,
                                                             AnswerFormat format,
                                                             const RecallAnswer& recall) {
  std::vector<std::optional<std::vector<int32_t>>> turns;
  for (const Json& message : messages) {
    if (Member(message, "role") != "assistant") continue;
    turns.emplace_back();
    const Json& handle = Member(message, "handle");
    if (!handle.is_string()) continue;
    auto ids = recall(handle.get_ref<const std::string&>());
    if (ids && SaysTheSame(message, SaidBy(model.tokenizer(), *ids, format))) {
      turns.back() = std::move(ids);
    }
  }
  return turns;
}

// Encodes the pieces; the words of those assistants' turns that are known as tokens are put there
// as these. A turn's pieces are in the loss, and the last of them is the marker that ends it.
std::vector<int32_t> EncodeWithTurns(const Tokenizer& tokenizer,
                                     std::span<const PromptPiece> pieces,
                                     std::span<const std::optional<std::vector<int32_t>>> turns) {
  std::vector<int32_t> ids;
  size_t done = 0;  // pieces encoded
  const auto encode_to = [&](size_t end) {
    const auto more = EncodeChat(tokenizer, pieces.subspan(done, end - done), done > 0);
    ids.insert(ids.end(), more.begin(), more.end());
    done = end;
  };
  size_t turn = 0;
  for (size_t i = 0; i < pieces.size() && turn < turns.size(); ++i) {
    if (!pieces[i].in_loss) continue;
    size_t last = i;
    while (last + 1 < pieces.size() && pieces[last + 1].in_loss) ++last;
    if (const auto& sampled = turns[turn++]) {
      encode_to(i);
      ids.insert(ids.end(), sampled->begin(), sampled->end());
      done = last;  // the marker comes with what follows
    }
    i = last;
  }
  encode_to(pieces.size());
  return ids;
}

tl::unexpected<ApiError> TooLong(const ContextOverflow& overflow) {
  return tl::unexpected(ApiError{.kind = ApiErrorKind::kContextLength,
                                 .message = "the prompt is too long",
                                 .param = "messages",
                                 .overflow = overflow});
}

// Reads the images of a chat, and makes room for them among its tokens.
ApiResult<std::vector<PromptImage>> PlaceImages(const ServedModel& model, const ChatPrompt& chat,
                                                std::vector<int32_t>& ids) {
  const ImageReader* reader = model.images().get();
  if (reader == nullptr) return {};
  std::vector<std::shared_ptr<const TiledImage>> images;
  int64_t length = std::ssize(ids);
  for (const ImagePart& part : ImageParts(chat.messages)) {
    auto image = reader->Read(part.url, part.path);
    if (!image) return tl::unexpected(ToApiError(image.error(), part.path));
    length += (*image)->geometry.tokens;
    if (length > model.context()) return TooLong({length, std::nullopt, model.context()});
    images.push_back(*std::move(image));
  }
  auto placed = ExpandImages(images, reader->image_token(), ids);
  if (!placed) return tl::unexpected(ToApiError(placed.error(), "messages"));
  return *std::move(placed);
}

ApiResult<Prompt> MakeChatPrompt(const ServedModel& model, const ChatPrompt& chat,
                                 const RecallAnswer& recall) {
  FULMEN_API_TRY(CheckImages(model, chat.messages));
  FULMEN_API_ASSIGN(const std::vector<PromptPiece> pieces, ChatPieces(model, chat));
  const AnswerFormat format = AnswerFormatOf(*model.format(), HasTools(chat));
  auto turns = RecallTurns(model, chat.messages, format, recall);
  Prompt prompt = {.ids = {}, .images = {}, .format = format};
  if (chat.continue_final) {
    if (!turns.empty()) turns.back().reset();
    // Its beginning is there already, without thoughts.
    if (!pieces.empty() && pieces.back().in_loss) prompt.format.reasoning = false;
  }
  prompt.ids = EncodeWithTurns(model.tokenizer(), pieces, turns);
  FULMEN_API_ASSIGN(prompt.images, PlaceImages(model, chat, prompt.ids));
  return prompt;
}

SamplingParams SamplingOf(const ServedModel& model, const SamplingRequest& asked) {
  SamplingParams params = model.defaults().sampling;
  params.temperature = asked.temperature.value_or(params.temperature);
  params.top_p = asked.top_p.value_or(params.top_p);
  params.top_k = asked.top_k.value_or(params.top_k);
  params.min_p = asked.min_p.value_or(params.min_p);
  params.repetition_penalty = asked.repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = asked.presence_penalty.value_or(0);
  params.frequency_penalty = asked.frequency_penalty.value_or(0);
  params.logit_bias = asked.logit_bias;
  thread_local std::random_device entropy;
  params.seed = asked.seed ? *asked.seed : entropy();
  return params;
}

std::vector<int32_t> ScriptFor(const ServedModel& model, const Generation& generation) {
  const auto* chat = std::get_if<ChatPrompt>(&generation.prompt);
  if (model.script() == nullptr || chat == nullptr || chat->messages.empty()) return {};
  const std::string* answer = model.script()->AnswerTo(chat->messages.back().dump());
  if (answer == nullptr) return {};
  std::vector<int32_t> ids = model.tokenizer().Encode(*answer, Tokenizer::Markers::kParse, true);
  const std::vector<int32_t> ends = EndTokens(model.model(), &model.tokenizer(), /*chat=*/true);
  if (!ends.empty()) ids.push_back(ends.front());
  return ids;
}

}  // namespace

std::string ContentText(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array()) {
    for (const Json& part : content) {
      if (const Json& words = Member(part, "text"); words.is_string()) {
        text += words.get_ref<const std::string&>();
      }
    }
  }
  return text;
}

ApiResult<void> CheckImages(const ServedModel& model, const Json& messages) {
  constexpr size_t kMostImages = 100;  // each may take a second to decode
  const std::vector<ImagePart> images = ImageParts(messages);
  if (!images.empty() && model.images() == nullptr) {
    return ApiFail(ApiErrorKind::kUnsupported, images.front().path,
                   "the model {} reads text alone, found an image", model.name());
  }
  if (images.size() > kMostImages) {
    return ApiFail(ApiErrorKind::kInvalid, images[kMostImages].path,
                   "a request holds at most {} images, found {}", kMostImages, images.size());
  }
  return {};
}

ApiResult<std::vector<PromptPiece>> ChatPieces(const ServedModel& model, const ChatPrompt& chat) {
  if (!model.format()) {
    return ApiFail(ApiErrorKind::kUnsupported, "messages",
                   "{} has no chat format; it continues texts, at /v1/completions", model.name());
  }
  const Json request = {
      {"messages", chat.messages},
      {"tools", chat.tools},
      {"add_generation_prompt", chat.add_generation_prompt && !chat.continue_final}};
  auto formatted = FormatChat(*model.format(), request);
  if (!formatted) return tl::unexpected(ToApiError(formatted.error()));
  std::vector<PromptPiece> pieces = *std::move(formatted);
  if (chat.continue_final) {
    if (Member(chat.messages.back(), "role") != "assistant") {
      return ApiFail(ApiErrorKind::kInvalid, "messages",
                     "to go on with the last message it has to be an assistant's");
    }
    // Without what ends that message: its marker, and a newline that is not the assistant's.
    while (!pieces.back().in_loss) pieces.pop_back();
    pieces.pop_back();
  }
  return pieces;
}

ApiResult<Prompt> MakePrompt(const ServedModel& model, const Generation& generation,
                             const RecallAnswer& recall) {
  if (const auto* chat = std::get_if<ChatPrompt>(&generation.prompt)) {
    return MakeChatPrompt(model, *chat, recall);
  }
  Prompt prompt;
  if (const auto* text = std::get_if<TextPrompt>(&generation.prompt)) {
    prompt.ids = model.tokenizer().Encode(text->text, Tokenizer::Markers::kParse);
  } else {
    prompt.ids = std::get<TokenPrompt>(generation.prompt).ids;
  }
  if (prompt.ids.empty()) {
    return ApiFail(ApiErrorKind::kInvalid, "prompt", "the prompt is empty");
  }
  return prompt;
}

ApiResult<Request> MakeRequest(const ServedModel& model, const Generation& generation,
                               Prompt prompt) {
  const int64_t length = std::ssize(prompt.ids);
  const int64_t context = model.context();
  if (length > context) return TooLong({length, std::nullopt, context});
  const int64_t room = std::max<int64_t>(1, context - length);
  if (generation.max_tokens_must_fit && generation.max_tokens.value_or(0) > room) {
    return TooLong({length, generation.max_tokens, context});
  }
  Request request;
  request.max_tokens =
      std::min(generation.max_tokens.value_or(model.max_tokens().value_or(room)), room);
  request.min_tokens = std::min(generation.min_tokens, request.max_tokens);
  request.sampling = SamplingOf(model, generation.sampling);
  request.choices = generation.choices;
  request.top_logprobs = generation.top_logprobs;
  const bool chat = std::holds_alternative<ChatPrompt>(generation.prompt);
  if (!generation.ignore_eos) {
    request.stop_tokens = EndTokens(model.model(), &model.tokenizer(), chat);
  }
  request.stop_tokens.insert(request.stop_tokens.end(), generation.stop_token_ids.begin(),
                             generation.stop_token_ids.end());
  request.stop_strings = generation.stop;
  request.format = prompt.format;
  request.script = ScriptFor(model, generation);
  request.borders = MessageBorders(model.tokenizer(), prompt.ids);
  request.prompt = std::move(prompt.ids);
  request.images = std::move(prompt.images);
  request.priority = generation.priority;
  return request;
}

}  // namespace fulmen
