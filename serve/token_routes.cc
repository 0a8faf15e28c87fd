// Tokens and prompts without an answer: for those who count, cut and debug them.
#include <utility>

#include "serve/chat_messages_in.h"
#include "serve/fields.h"
#include "serve/prompts.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

// Works a body out on a worker.
using TokenWorker = ApiResult<Json> (*)(Service& service, Json& body, const std::string& space);

RouteHandler FromBody(Service& service, TokenWorker worker) {
  return [&service, worker](Exchange& exchange, const PathValues&) {
    auto work = [&service, worker, &exchange]() -> ApiResult<HttpResponse> {
      const std::string space = exchange.request().caller.space;
      FULMEN_API_ASSIGN(Json json, ParseRequestJson(exchange.TakeBody()));
      FULMEN_API_ASSIGN(const Json answer, worker(service, json, space));
      return HttpResponse::OfJson(answer);
    };
    return RespondFromWorker(service, exchange, work);
  };
}

ApiResult<const ServedModel*> ModelOf(Service& service, const Fields& fields) {
  FULMEN_API_ASSIGN(const auto name, fields.String("model"));
  FULMEN_API_ASSIGN(const ServedModel* model, service.answering.FindModel(name.value_or("")));
  return model;
}

// The chat of a body with messages, read as a chat request's: its prompt has the same tokens.
ApiResult<ChatPrompt> ChatOf(const Fields& fields, Json& body) {
  ChatPrompt chat;
  FULMEN_API_ASSIGN(chat.continue_final, fields.Bool("continue_final_message", false));
  FULMEN_API_ASSIGN(chat.add_generation_prompt,
                    fields.Bool("add_generation_prompt", !chat.continue_final));
  StrictTools strict;  // nobody is going to call them
  FULMEN_API_ASSIGN(chat.tools, ReadTools(body, {}, strict));
  FULMEN_API_ASSIGN(chat.messages, ReadMessages(body, {.continues_final = chat.continue_final}));
  return chat;
}

// The names of llama.cpp's server (content, with_pieces) and of vLLM's (prompt, messages,
// return_token_strs).
ApiResult<Json> Tokenize(Service& service, Json& body, const std::string& space) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const ServedModel* model, ModelOf(service, fields));
  FULMEN_API_ASSIGN(const bool pieces, fields.Bool("with_pieces", false));
  FULMEN_API_ASSIGN(const bool strings, fields.Bool("return_token_strs", false));
  FULMEN_API_ASSIGN(const bool markers, fields.Bool("parse_special", true));
  const Tokenizer& tokenizer = model->tokenizer();
  std::vector<int32_t> ids;
  if (fields.Has("messages")) {
    Generation generation;
    generation.model = model->name();
    FULMEN_API_ASSIGN(generation.prompt, ChatOf(fields, body));
    FULMEN_API_ASSIGN(ids, service.answering.PromptIds(generation, space));
  } else {
    FULMEN_API_ASSIGN(const std::string text,
                      fields.NeededString(fields.Has("prompt") ? "prompt" : "content"));
    ids = tokenizer.Encode(text, markers ? Tokenizer::Markers::kParse : Tokenizer::Markers::kPlain);
  }
  Json answer = {{"count", ids.size()}, {"max_model_len", model->context()}, {"tokens", ids}};
  if (pieces || strings) {
    Json texts = Json::array();
    for (const int32_t id : ids) {
      texts.push_back(tokenizer.TokenBytes(id).value_or(""));
    }
    if (strings) answer["token_strs"] = texts;
    if (pieces) {
      answer["tokens"] = Json::array();
      for (size_t i = 0; i < ids.size(); ++i) {
        answer["tokens"].push_back({{"id", ids[i]}, {"piece", texts[i]}});
      }
    }
  }
  return answer;
}

ApiResult<Json> Detokenize(Service& service, Json& body, const std::string&) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const ServedModel* model, ModelOf(service, fields));
  FULMEN_API_ASSIGN(const Json* tokens, fields.NeededList("tokens"));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const auto id = IntegerIn((*tokens)[i], 0, model->tokenizer().vocab_size() - 1);
    if (!id) {
      return ApiFail(ApiErrorKind::kInvalid, fields.PathOf("tokens", i),
                     "expected a token from 0 to {}, found {}", model->tokenizer().vocab_size() - 1,
                     Shown((*tokens)[i]));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  auto text = model->tokenizer().Decode(ids);
  if (!text) return tl::unexpected(ToApiError(text.error(), "tokens"));
  return Json{{"content", *text}, {"prompt", *text}};
}

ApiResult<Json> ApplyTemplate(Service& service, Json& body, const std::string&) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const ServedModel* model, ModelOf(service, fields));
  FULMEN_API_ASSIGN(const ChatPrompt chat, ChatOf(fields, body));
  FULMEN_API_ASSIGN(const auto pieces, ChatPieces(*model, chat));
  return Json{{"prompt", ChatText(pieces)}};
}

}  // namespace

std::vector<Route> TokenRoutes(Service& service) {
  return {
      {"POST", "/tokenize", FromBody(service, Tokenize), Access::kKey,
       "Text or messages to tokens"},
      {"POST", "/detokenize", FromBody(service, Detokenize), Access::kKey, "Tokens to text"},
      {"POST", "/apply-template", FromBody(service, ApplyTemplate), Access::kKey,
       "Messages to the text of their prompt"},
  };
}

}  // namespace fulmen
