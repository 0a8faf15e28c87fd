#include "serve/api_schemas.h"

#include <utility>

#include "serve/schema_words.h"

namespace fulmen {

using namespace schema;  // NOLINT(google-build-using-namespace): a file of nothing but its words

namespace {

Json MetadataSchema() {
  return Said(MapOf(Text()), "At most 16 pairs: names of 64 characters, values of 512");
}

// Of a session, whether or not its messages are told.
Json SessionHead() {
  return Object({{"namespace", Text()},
                 {"name", Text()},
                 {"model", Said(Text(), "The model's identity, which is no name it is served by")},
                 {"chat_format", OrNull(Text())},
                 {"created", Integer()},
                 {"used", Integer()},
                 {"expires", OrNull(Integer())},
                 {"metadata", MetadataSchema()},
                 {"under_way", OrNull(Ref("UnderWay"))}});
}

Json ChatChoice(const char* said, const char* schema) {
  return Object({{"index", Integer()},
                 {said, Ref(schema)},
                 {"logprobs", OrNull(Ref("Logprobs"))},
                 {"finish_reason", OrNull(OneOf({"stop", "length", "tool_calls"}))},
                 {"stop_reason?", Said(Text(), "The stop string, or why it ended early")}});
}

Json ChatHead(const char* object, Json choice) {
  return Object({{"id", Text()},
                 {"object", OneOf({object})},
                 {"created", Integer()},
                 {"model", Text()},
                 {"choices", ListOf(std::move(choice))}});
}

Json Logprob() {
  return Object({{"token", Text()}, {"logprob", Number()}, {"bytes", ListOf(Integer())}});
}

Json MessageOf(const char* content, Json role) {
  return OpenObject({{"role", std::move(role)},
                     {content, AnyOf({Text(), ListOf(Ref("Part")), Null()})},
                     {"reasoning_content?", OrNull(Text())},
                     {"tool_calls?", ListOf(Ref("ToolCall"))},
                     {"tool_call_id?", Text()},
                     {"name?", Text()}});
}

Json ChatRequest() {
  Json request = OpenObject({
      {"model?", Text()},
      {"messages", ListOf(Ref("RequestMessage"))},
      {"session?", Said(Text(), "The session that the messages go on with")},
      {"stream?", Flag()},
      {"stream_options?", OpenObject({{"include_usage?", Flag()}})},
      {"return_progress?", Said(Flag(), "Tell of prompts being read, and of timings")},
      {"temperature?", Number()},
      {"top_p?", Number()},
      {"top_k?", Integer()},
      {"min_p?", Number()},
      {"repetition_penalty?", Number()},
      {"presence_penalty?", Number()},
      {"frequency_penalty?", Number()},
      {"max_tokens?", Integer()},
      {"max_completion_tokens?", Integer()},
      {"seed?", Integer()},
      {"stop?", AnyOf({Text(), ListOf(Text())})},
      {"tools?", ListOf(MapOf(Json(true)))},
  });
  request["additionalProperties"] = true;
  return request;
}

Json UsageSchema() {
  return Object({{"prompt_tokens", Integer()},
                 {"completion_tokens", Integer()},
                 {"total_tokens", Integer()},
                 {"prompt_tokens_details", Object({{"cached_tokens", Integer()},
                                                   {"cache_write_tokens", Integer()},
                                                   {"text_tokens", Integer()},
                                                   {"image_tokens", Integer()},
                                                   {"audio_tokens", Integer()}})},
                 {"completion_tokens_details", Object({{"reasoning_tokens", Integer()},
                                                       {"audio_tokens", Integer()},
                                                       {"accepted_prediction_tokens", Integer()},
                                                       {"rejected_prediction_tokens", Integer()}})},
                 {"cost?", Ref("Money")},
                 {"currency?", Text()}});
}

Json ModelSchema() {
  return Object({{"id", Text()},
                 {"object", OneOf({"model"})},
                 {"created", Integer()},
                 {"owned_by", Text()},
                 {"type", OneOf({"model"})},
                 {"display_name", Text()},
                 {"created_at", Ref("Time")},
                 {"max_input_tokens", Integer()},
                 {"max_tokens", Integer()},
                 {"max_model_len", Integer()}});
}

Json ModelProps() {
  return Object({{"id", Text()},
                 {"aliases", ListOf(Text())},
                 {"context", Integer()},
                 {"chat_format", OrNull(Text())},
                 {"running", Integer()},
                 {"waiting", Integer()},
                 {"default_generation_settings", Object({{"temperature", Number()},
                                                         {"top_p", Number()},
                                                         {"top_k", Integer()},
                                                         {"min_p", Number()},
                                                         {"repetition_penalty", Number()},
                                                         {"max_tokens", OrNull(Integer())}})}});
}

}  // namespace

Json ChatSchemas() {
  const Json with_progress = Object({{"timings?", Ref("Timings")}});
  const Json whole_head = ChatHead("chat.completion", ChatChoice("message", "ChatMessage"));
  const Json chunk_head = ChatHead("chat.completion.chunk", ChatChoice("delta", "ChatDelta"));
  const Json function = Object({{"name", Text()}, {"arguments", Text()}});
  const Json function_piece = Object({{"name?", Text()}, {"arguments", Text()}});
  const Json part_of_text = OpenObject({{"type", OneOf({"text"})}, {"text", Text()}});
  const Json part_of_image =
      OpenObject({{"type", OneOf({"image_url"})}, {"image_url", OpenObject({{"url", Text()}})}});
  return {
      {"Part", AnyOf({part_of_text, part_of_image})},
      {"ToolCall",
       Object({{"id?", Text()}, {"type", OneOf({"function"})}, {"function", function}})},
      {"Message", MessageOf("content", OneOf({"system", "user", "assistant", "tool"}))},
      {"RequestMessage", MessageOf("content?", Text())},
      {"ChatRequest", ChatRequest()},
      {"ChatMessage", Object({{"role", OneOf({"assistant"})},
                              {"content", OrNull(Text())},
                              {"refusal", Null()},
                              {"reasoning_content?", Text()},
                              {"tool_calls?", ListOf(Ref("ToolCall"))}})},
      {"ChatDelta", Object({{"role?", OneOf({"assistant"})},
                            {"content?", Text()},
                            {"reasoning_content?", Text()},
                            {"tool_calls?", ListOf(Object({{"index", Integer()},
                                                           {"id?", Text()},
                                                           {"type?", OneOf({"function"})},
                                                           {"function", function_piece}}))}})},
      {"Logprobs",
       Object(
           {{"content", ListOf(Joined(Logprob(), Object({{"top_logprobs", ListOf(Logprob())}})))},
            {"refusal", Null()}})},
      {"ChatCompletion",
       Joined(Joined(whole_head, Object({{"usage", Ref("Usage")}})), with_progress)},
      {"ChatChunk",
       Joined(Joined(chunk_head, Object({{"usage?", OrNull(Ref("Usage"))},
                                         {"prompt_progress?", Ref("PromptProgress")}})),
              with_progress)},
      {"PromptProgress", Object({{"total", Integer()},
                                 {"cache", Integer()},
                                 {"processed", Integer()},
                                 {"time_ms", Integer()}})},
      {"Usage", UsageSchema()},
      {"Timings", Object({{"cache_n", Integer()},
                          {"prompt_n", Integer()},
                          {"queue_ms", Number()},
                          {"prompt_ms", Number()},
                          {"predicted_n", Integer()},
                          {"predicted_ms", Number()}})},
      {"Cancelled", Object({{"cancelled", Flag()}})},
  };
}

Json SessionSchemas() {
  const Json match =
      Object({{"turn", Said(OrNull(Integer()), "null: it is in the title")}, {"excerpt", Text()}});
  return {
      {"Answer", Object({{"id", Text()},
                         {"created", Integer()},
                         {"model", Said(Text(), "The name it was served by")},
                         {"finish_reason", OneOf({"stop", "length", "tool_calls", "cancelled"})},
                         {"usage", Ref("Usage")},
                         {"timings", Ref("Timings")}})},
      {"UnderWay",
       Said(Object({{"idempotency_key", OrNull(Text())},
                    {"started", Integer()},
                    {"messages", Said(ListOf(Ref("Message")), "Those that the turn adds")}}),
            "The turn of a session that is being answered now")},
      {"SessionSummary", Joined(SessionHead(), Object({{"turns", Integer()},
                                                       {"tokens", Integer()},
                                                       {"damaged", Flag()},
                                                       {"match?", match}}))},
      {"SessionList", Listing(Ref("SessionSummary"))},
      {"SessionTurn",
       Object({{"messages", Said(Integer(), "How many of the session's messages are this turn's")},
               {"tokens", Said(Integer(), "Length of the sequence after it")},
               {"answer", OrNull(Ref("Answer"))}})},
      {"Session", Joined(SessionHead(), Object({{"system", Text()},
                                                {"messages", ListOf(Ref("Message"))},
                                                {"turns", ListOf(Ref("SessionTurn"))}}))},
      {"SessionQuery",
       OpenObject({{"search?", Said(Text(), "Only those with this text")},
                   {"limit?", Integer()},
                   {"after?", Said(Text(), "Those that come after the one of this name")}})},
      {"NewSession", OpenObject({{"name", Text()},
                                 {"model?", Text()},
                                 {"system?", Text()},
                                 {"metadata?", MetadataSchema()}})},
      {"SessionChange",
       OpenObject({{"name?", Text()},
                   {"expires_after?", Said(OrNull(Integer()), "Seconds from now; null: never")},
                   {"metadata?", Said(MapOf(OrNull(Text())), "Pairs to set; null removes one")}})},
      {"SessionChanged", Object({{"name", Text()}})},
      {"SessionDeleted", Object({{"name", Text()}, {"deleted", Flag()}})},
      {"Fork", OpenObject({{"name", Said(Text(), "The copy's")},
                           {"turns?", Said(Integer(), "Only the first so many")},
                           {"metadata?", Said(MapOf(Text()), "In place of the original's")}})},
      {"SessionForked", Object({{"name", Text()}, {"forked_from", Text()}})},
      {"SessionFile",
       Said(OpenObject({{"format", Text()}, {"version", Integer()}, {"checksum", Text()}}),
            "An exported session, for PUT and for `fulmen session import`")},
  };
}

Json ServerSchemas() {
  const Json organisation = OrNull(Ref("Organisation"));
  return {
      {"Error", Object({{"error", Object({{"message", Text()},
                                          {"type", Text()},
                                          {"param", OrNull(Text())},
                                          {"code", OrNull(Text())}})}})},
      {"Money", Said(Text(), "A decimal, as text so that no digit is lost")},
      {"Time", Said(Text(), "As RFC 3339 has it")},
      {"Login", OpenObject({{"key", Text()}})},
      {"SignedIn", Object({{"me", OrNull(Ref("Me"))}})},
      {"SignedOut", Object({{"signed_in", Flag()}})},
      {"Me", Object({{"needs_key", Flag()},
                     {"key", OrNull(Ref("Key"))},
                     {"organisation", organisation},
                     {"is_admin", Flag()},
                     {"sees_metrics", Flag()},
                     {"keeps_sessions", Flag()}})},
      {"Model", ModelSchema()},
      {"ModelList",
       Joined(Listing(Ref("Model")),
              Object({{"has_more", Flag()}, {"first_id", Text()}, {"last_id", Text()}}))},
      {"ModelProps", ModelProps()},
      {"Props", Object({{"build_info", Text()},
                        {"model_path", Text()},
                        {"chat_template", OrNull(Text())},
                        {"modalities", Object({{"vision", Flag()}})},
                        {"uptime_seconds", Number()},
                        {"models", ListOf(Ref("ModelProps"))}})},
  };
}

Json ApiSchemas() {
  Json all = ChatSchemas();
  all.update(SessionSchemas());
  all.update(ServerSchemas());
  all.update(AdminSchemas());
  return all;
}

}  // namespace fulmen
