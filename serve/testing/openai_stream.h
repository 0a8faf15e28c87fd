// A stream of chat chunks or completions put together again as OpenAI's client does it, with the
// checks that it makes on the way.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace fulmen::testing {

// The data of each event, [DONE] included. Every event is one line of data and nothing else.
inline std::vector<std::string> DataIn(std::string_view stream) {
  std::vector<std::string> data;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (!stream.starts_with("data: ") || end == std::string_view::npos) {
      ADD_FAILURE() << "no event of data alone: " << stream;
      break;
    }
    data.emplace_back(stream.substr(6, end - 6));
    EXPECT_EQ(data.back().find('\n'), std::string::npos);
    stream.remove_prefix(end + 2);
  }
  return data;
}

// The chunks of a whole stream, which ends with [DONE].
inline std::vector<Json> ChunksIn(std::string_view stream) {
  std::vector<std::string> data = DataIn(stream);
  std::vector<Json> chunks;
  if (data.empty() || data.back() != "[DONE]") {
    ADD_FAILURE() << "no [DONE] at the end: " << stream;
    return chunks;
  }
  data.pop_back();
  for (const std::string& one : data) chunks.push_back(Json::parse(one));
  return chunks;
}

inline void Append(Json& text, const Json& more) {
  text = text.is_null() ? more : Json(text.get<std::string>() + more.get<std::string>());
}

// A chat answer out of its chunks.
class ChatAssembler {
 public:
  explicit ChatAssembler(bool include_usage) : include_usage_(include_usage) {}

  Json Whole(const std::vector<Json>& chunks) {
    for (size_t i = 0; i < chunks.size(); ++i) Add(chunks[i], i + 1 == chunks.size());
    Json choices = Json::array();
    for (auto& [index, choice] : choices_) {
      EXPECT_EQ(choice["message"].value("role", ""), "assistant");
      EXPECT_FALSE(choice["finish_reason"].is_null()) << "missing finish_reason";
      choices.push_back(std::move(choice));
    }
    whole_["choices"] = std::move(choices);
    return std::move(whole_);
  }

 private:
  void Add(const Json& chunk, bool is_last) {
    ASSERT_EQ(chunk["object"], "chat.completion.chunk");
    ASSERT_TRUE(chunk["choices"].is_array());
    for (const char* name : {"id", "created", "model"}) {
      if (!whole_.contains(name)) whole_[name] = chunk[name];
      EXPECT_EQ(whole_[name], chunk[name]);
    }
    EXPECT_EQ(chunk.contains("usage"), include_usage_);
    if (include_usage_ && is_last) {
      EXPECT_TRUE(chunk["choices"].empty());
      whole_["usage"] = chunk["usage"];
      return;
    }
    EXPECT_TRUE(!include_usage_ || chunk["usage"].is_null());
    ASSERT_EQ(chunk["choices"].size(), 1U);
    AddChoice(chunk["choices"][0]);
  }

  void AddChoice(const Json& chunk) {
    const size_t index = chunk["index"];
    const bool is_first = !choices_.contains(index);
    Json& choice = choices_[index];
    if (is_first) {
      choice = {{"index", index},
                {"message", {{"content", nullptr}}},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}};
    }
    EXPECT_TRUE(choice["finish_reason"].is_null()) << "a chunk after the last: " << chunk;
    const Json& delta = chunk["delta"];
    EXPECT_EQ(delta.contains("role"), is_first) << "the role comes once";
    if (is_first) {
      EXPECT_EQ(delta.dump(), R"({"role":"assistant","content":""})");
    }
    choice["finish_reason"] = chunk["finish_reason"];
    if (chunk.contains("stop_reason")) choice["stop_reason"] = chunk["stop_reason"];
    Json& message = choice["message"];
    if (is_first) message["role"] = delta["role"];
    for (const char* name : {"content", "reasoning_content"}) {
      if (!delta.value(name, "").empty()) Append(message[name], delta[name]);
    }
    if (delta.contains("tool_calls")) AddCall(delta["tool_calls"], message["tool_calls"]);
    if (chunk["logprobs"].is_null()) return;
    EXPECT_TRUE(delta.contains("content")) << "log probabilities of what is no content";
    if (choice["logprobs"].is_null()) {
      choice["logprobs"] = chunk["logprobs"];
    } else {
      for (const Json& token : chunk["logprobs"]["content"]) {
        choice["logprobs"]["content"].push_back(token);
      }
    }
  }

  static void AddCall(const Json& delta, Json& calls) {
    ASSERT_EQ(delta.size(), 1U);
    const Json& call = delta[0];
    const size_t index = call["index"];
    if (index == calls.size()) {
      EXPECT_EQ(call["type"], "function");
      EXPECT_TRUE(call["id"].is_string());
      EXPECT_EQ(call["function"]["arguments"], "");
      calls.push_back({{"id", call["id"]}, {"type", call["type"]}, {"function", call["function"]}});
      return;
    }
    ASSERT_EQ(index + 1, calls.size()) << "a gap between calls";
    EXPECT_EQ(call.size(), 2U) << "later pieces have no more than index and arguments: " << call;
    EXPECT_EQ(call["function"].size(), 1U);
    Append(calls[index]["function"]["arguments"], call["function"]["arguments"]);
  }

  const bool include_usage_;
  Json whole_;
  std::map<size_t, Json> choices_;
};

}  // namespace fulmen::testing
