// Named conversations over HTTP: what `fulmen session` does on the machine itself. Each key has a
// namespace of its own.
#include <map>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/parse_number.h"
#include "base/printable.h"
#include "engine/answer_parser.h"
#include "engine/session_file.h"
#include "engine/session_json.h"
#include "serve/fields.h"
#include "serve/request_json.h"
#include "serve/service.h"

namespace fulmen {
namespace {

// What a route works on, on a worker.
struct Asked {
  SessionStore& store;
  const Answering& answering;
  std::string space;
  std::string name;  // of the path, where it has one
  const HttpRequest& request;
  std::string body;
  std::map<std::string, TurnUnderWay> under_way;  // when the request came
};
using SessionWorker = ApiResult<HttpResponse> (*)(const Asked& asked);

RouteHandler FromSessions(Service& service, SessionWorker worker) {
  return [&service, worker](Exchange& exchange, const PathValues& values) {
    const auto name = values.find("name");
    const std::string named = name == values.end() ? "" : name->second;
    // Before the store is read: a turn that ends meanwhile is told twice rather than never.
    auto work = [&service, worker, &exchange, named,
                 under_way = service.answering.claims().Of(
                     exchange.request().caller)]() -> ApiResult<HttpResponse> {
      if (service.sessions == nullptr) {
        return ApiFail(ApiErrorKind::kNotFound, "", "this server keeps no sessions");
      }
      return worker({.store = *service.sessions,
                     .answering = service.answering,
                     .space = exchange.request().caller.space,
                     .name = named,
                     .request = exchange.request(),
                     .body = exchange.TakeBody(),
                     .under_way = under_way});
    };
    return RespondFromWorker(service, exchange, work);
  };
}

ApiResult<SavedSession> Find(const Asked& asked) {
  auto found = asked.store.Find(asked.space, asked.name);
  if (!found) return tl::unexpected(ToApiError(found.error()));
  if (!*found) {
    return ApiFail(ApiErrorKind::kNotFound, "", "there is no session \"{}\"", asked.name);
  }
  return **std::move(found);
}

template <class T>
ApiResult<T> OrError(Result<T> result) {
  if (!result) return tl::unexpected(ToApiError(result.error()));
  if constexpr (!std::is_void_v<T>) {
    return *std::move(result);
  } else {
    return {};
  }
}

HttpResponse Done(const std::string& name, std::string_view what) {
  return HttpResponse::OfJson({{"name", name}, {std::string(what), true}});
}

// An answer is kept as it was written: its thoughts go to where they were when it was told.
void TakeThoughtsOut(Json& message, ChatFormat format) {
  const AnswerFormat answers = AnswerFormatOf(format, /*tools=*/false);
  const bool is_answer = Member(message, "role") == "assistant" &&
                         Member(message, "content").is_string() &&
                         !message.contains("reasoning_content");
  if (!answers.reasoning || !is_answer) return;
  AnswerParser parser(answers);
  std::string thoughts;
  std::string text;
  const auto take = [&](const std::vector<AnswerPiece>& pieces) {
    for (const AnswerPiece& piece : pieces) {
      (piece.kind == AnswerPiece::Kind::kReasoning ? thoughts : text) += piece.text;
    }
  };
  take(parser.Add(message["content"].get_ref<const std::string&>()));
  take(parser.Finish());
  if (thoughts.empty()) return;
  message["content"] = std::move(text);
  message["reasoning_content"] = std::move(thoughts);
}

// As OpenAI's API has them: thoughts apart, arguments as text, and no handles. The calls of a file
// that was imported may be anything.
Json OpenAiMessages(Json messages, std::optional<ChatFormat> format) {
  for (Json& message : messages) {
    message.erase("handle");
    if (format) TakeThoughtsOut(message, *format);
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      if (!Member(Member(call, "function"), "arguments").is_object()) continue;
      Json& arguments = call["function"]["arguments"];
      arguments = DumpJson(arguments);
    }
  }
  return messages;
}

Json UnderWayJson(const Asked& asked, const std::string& name) {
  const auto found = asked.under_way.find(name);
  if (found == asked.under_way.end()) return nullptr;
  const TurnUnderWay& turn = found->second;
  return {{"idempotency_key", turn.idempotency_key.empty() ? Json() : Json(turn.idempotency_key)},
          {"started", turn.started},
          {"messages", OpenAiMessages(*turn.messages, std::nullopt)}};
}

Json SummaryJson(const Asked& asked, const SessionSummary& session) {
  Json json = SessionSummaryJson(session);
  json["under_way"] = UnderWayJson(asked, session.name);
  return json;
}

HttpResponse Told(const Asked& asked, const SavedSession& session, int status) {
  Json json = SessionJson(session, /*ids=*/false);
  json["messages"] = OpenAiMessages(std::move(json["messages"]), session.format);
  json["under_way"] = UnderWayJson(asked, session.name);
  return HttpResponse::OfJson(json, status);
}

// `limit` and `after` of the query.
ApiResult<SessionPage> ReadPage(const HttpRequest& request) {
  SessionPage page = {.after = request.Query("after")};
  const std::string limit = request.Query("limit");
  if (limit.empty()) return page;
  constexpr int64_t kMost = 10'000;
  const auto number = ParseNumber<int64_t>(limit, {1, kMost});
  if (!number) {
    return ApiFail(ApiErrorKind::kInvalid, "limit",
                   "a whole number from 1 to {} is expected, found {}", kMost,
                   Printable(limit, 60));
  }
  page.limit = *number;
  return page;
}

ApiResult<HttpResponse> List(const Asked& asked) {
  FULMEN_API_ASSIGN(const SessionPage page, ReadPage(asked.request));
  const std::string search = asked.request.Query("search");
  Json list = Json::array();
  if (search.empty()) {
    FULMEN_API_ASSIGN(const auto sessions, OrError(asked.store.List(asked.space, page)));
    for (const SessionSummary& session : sessions) list.push_back(SummaryJson(asked, session));
  } else {
    FULMEN_API_ASSIGN(const auto found, OrError(asked.store.Search(asked.space, search, page)));
    for (const FoundSession& each : found) {
      list.push_back(SummaryJson(asked, each.session));
      list.back()["match"] = {{"turn", each.turn ? Json(*each.turn) : Json()},
                              {"excerpt", each.excerpt}};
    }
  }
  return HttpResponse::OfJson({{"object", "list"}, {"data", std::move(list)}});
}

ApiResult<HttpResponse> Show(const Asked& asked) {
  FULMEN_API_ASSIGN(const SavedSession session, Find(asked));
  return Told(asked, session, 200);
}

// The pairs of `metadata`; nullopt of one that is null, which not every route takes.
using MetadataChanges = std::map<std::string, std::optional<std::string>>;
ApiResult<MetadataChanges> ReadMetadataChanges(const Fields& fields) {
  MetadataChanges changes;
  FULMEN_API_ASSIGN(const auto object, fields.Object("metadata"));
  if (!object) return changes;
  for (const auto& [name, value] : fields.At("metadata").items()) {
    FULMEN_API_ASSIGN(changes[name], object->String(name));
  }
  return changes;
}

ApiResult<Metadata> ReadMetadata(const Fields& fields) {
  FULMEN_API_ASSIGN(const MetadataChanges changes, ReadMetadataChanges(fields));
  Metadata metadata;
  for (const auto& [name, value] : changes) {
    if (value) metadata[name] = *value;
  }
  return metadata;
}

// {"name"}, and perhaps {"model", "system", "metadata"}: a session of no turns.
ApiResult<HttpResponse> Create(const Asked& asked) {
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(asked.body));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const auto model_name, fields.String("model"));
  FULMEN_API_ASSIGN(const ServedModel* model, asked.answering.FindModel(model_name.value_or("")));
  if (!model->format()) {
    return ApiFail(ApiErrorKind::kUnsupported, "model",
                   "{} has no chat format, so it holds no sessions", model->name());
  }
  SavedSession session;
  session.space = asked.space;
  FULMEN_API_ASSIGN(session.name, fields.NeededString("name"));
  session.model = model->identity();
  session.format = model->format();
  FULMEN_API_ASSIGN(const auto system, fields.String("system"));
  session.system = system.value_or("");
  session.created = session.used = SecondsNow();
  FULMEN_API_ASSIGN(session.metadata, ReadMetadata(fields));
  FULMEN_API_TRY(OrError(asked.store.Create(session)));
  return Told(asked, session, 201);
}

ApiResult<HttpResponse> Remove(const Asked& asked) {
  FULMEN_API_TRY(OrError(asked.store.Remove(asked.space, asked.name)));
  return Done(asked.name, "deleted");
}

// {"name": the copy's}, and perhaps {"turns": of the first so many, "metadata": in place of that of
// the original}
ApiResult<HttpResponse> Fork(const Asked& asked) {
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(asked.body));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const std::string name, fields.NeededString("name"));
  SessionStore::ForkOptions options;
  FULMEN_API_ASSIGN(options.turns, fields.Integer("turns", 0));
  if (fields.Has("metadata")) {
    FULMEN_API_ASSIGN(options.metadata, ReadMetadata(fields));
  }
  FULMEN_API_TRY(OrError(asked.store.Fork(asked.space, asked.name, name, SecondsNow(), options)));
  return HttpResponse::OfJson({{"name", name}, {"forked_from", asked.name}});
}

// {"name": a new one}, {"expires_after": seconds, or null for never} and {"metadata": pairs to set,
// null for one to remove}, any of them.
ApiResult<HttpResponse> Change(const Asked& asked) {
  FULMEN_API_ASSIGN(const Json body, ParseRequestJson(asked.body));
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const auto name, fields.String("name"));
  FULMEN_API_ASSIGN(const auto seconds, fields.Integer("expires_after", 0, int64_t{1} << 40));
  FULMEN_API_ASSIGN(const MetadataChanges changes, ReadMetadataChanges(fields));
  if (!changes.empty()) {
    FULMEN_API_TRY(OrError(asked.store.ChangeMetadata(asked.space, asked.name, changes)));
  }
  if (body.contains("expires_after")) {
    const auto expires = seconds ? std::optional(SecondsNow() + *seconds) : std::nullopt;
    FULMEN_API_TRY(OrError(asked.store.SetExpiry(asked.space, asked.name, expires)));
  }
  if (name) FULMEN_API_TRY(OrError(asked.store.Rename(asked.space, asked.name, *name)));
  return HttpResponse::OfJson({{"name", name.value_or(asked.name)}});
}

ApiResult<HttpResponse> Export(const Asked& asked) {
  FULMEN_API_ASSIGN(const SavedSession session, Find(asked));
  return HttpResponse{.body = FormatSession(session)};
}

// The body is an exported session; it gets the name of the path.
ApiResult<HttpResponse> Import(const Asked& asked) {
  FULMEN_API_ASSIGN(SavedSession session, OrError(ParseSession(asked.body, "the body")));
  session.space = asked.space;
  session.name = asked.name;
  FULMEN_API_TRY(OrError(asked.store.Create(session)));
  return Told(asked, session, 201);
}

}  // namespace

std::vector<Route> SessionRoutes(Service& service) {
  const std::string one = "/v1/sessions/{name}";
  return {
      {"GET",
       "/v1/sessions",
       FromSessions(service, List),
       Access::kKey,
       "The sessions of this key",
       {.answer = "SessionList", .query = "SessionQuery"}},
      {"POST",
       "/v1/sessions",
       FromSessions(service, Create),
       Access::kKey,
       "Begin one, of no turns",
       {.body = "NewSession", .answer = "Session", .status = 201}},
      {"GET",
       one,
       FromSessions(service, Show),
       Access::kKey,
       "One of them, with its messages",
       {.answer = "Session"}},
      {"DELETE",
       one,
       FromSessions(service, Remove),
       Access::kKey,
       "Delete it",
       {.answer = "SessionDeleted"}},
      {"PATCH",
       one,
       FromSessions(service, Change),
       Access::kKey,
       "Rename it, note something of it, or let it expire",
       {.body = "SessionChange", .answer = "SessionChanged"}},
      {"POST",
       one + "/fork",
       FromSessions(service, Fork),
       Access::kKey,
       "Copy it, or its first turns, under another name",
       {.body = "Fork", .answer = "SessionForked"}},
      {"GET",
       one + "/export",
       FromSessions(service, Export),
       Access::kKey,
       "As a file",
       {.answer = "SessionFile"}},
      {"PUT",
       one,
       FromSessions(service, Import),
       Access::kKey,
       "From such a file",
       {.body = "SessionFile", .answer = "Session", .status = 201}},
  };
}

}  // namespace fulmen
