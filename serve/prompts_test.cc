#include "serve/prompts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "serve/testing/served_nano.h"

namespace fulmen {
namespace {

using testing::Message;
using testing::ServedNano;
using testing::ValueOrDie;
using Ids = std::vector<int32_t>;

const RecallAnswer kNothing = [](std::string_view) { return std::optional<Ids>(); };

Generation Chat(const Json& messages) {
  Generation generation;
  generation.prompt = ChatPrompt{.messages = messages};
  return generation;
}

class PromptsTest : public ::testing::Test {
 protected:
  Ids IdsOf(const Generation& generation, const RecallAnswer& recall = kNothing) const {
    auto prompt = MakePrompt(*nano_.served, generation, recall);
    EXPECT_TRUE(prompt) << prompt.error().message;
    return prompt ? prompt->ids : Ids();
  }
  Ids Encoded(const std::string& text) const {
    return nano_.served->tokenizer().Encode(text, Tokenizer::Markers::kPlain, true);
  }
  std::string Text(const Ids& ids) const {
    return ValueOrDie(nano_.served->tokenizer().Decode(ids));
  }

  ServedNano nano_;
};

// The same text in other tokens: one for each byte.
Ids ByBytes(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  for (const char byte : text) {
    const Ids of_byte = tokenizer.Encode(std::string(1, byte), Tokenizer::Markers::kPlain, true);
    ids.insert(ids.end(), of_byte.begin(), of_byte.end());
  }
  return ids;
}

bool Holds(const Ids& ids, const Ids& part) {
  return std::search(ids.begin(), ids.end(), part.begin(), part.end()) != ids.end();
}

TEST_F(PromptsTest, ATurnWithAHandleIsTheTokensThatWereSampled) {
  Json messages = {Message("user", "Hello"), Message("assistant", "Good day to you"),
                   Message("user", "And now?")};
  const Ids plain = IdsOf(Chat(messages));
  messages[1]["handle"] = "turn_x";
  const Ids sampled = ByBytes(nano_.served->tokenizer(), "Good day to you");
  ASSERT_NE(sampled, Encoded("Good day to you"));
  const auto recall = [&](std::string_view handle) {
    return handle == "turn_x" ? std::optional(sampled) : std::nullopt;
  };
  const Ids exact = IdsOf(Chat(messages), recall);
  EXPECT_NE(exact, plain);
  EXPECT_EQ(Text(exact), Text(plain));
  EXPECT_TRUE(Holds(exact, sampled));
  // Without it, or with another handle, or after a change by the client, the text is encoded.
  EXPECT_EQ(IdsOf(Chat(messages)), plain);
  messages[1]["content"] = "Good day to all of you";
  const Ids changed = IdsOf(Chat(messages), recall);
  EXPECT_FALSE(Holds(changed, sampled));
}

TEST_F(PromptsTest, TheFinalMessageIsGoneOnWith) {
  const Json messages = {Message("user", "Hello"), Message("assistant", "Good day")};
  Generation generation = Chat(messages);
  std::get<ChatPrompt>(generation.prompt).continue_final = true;
  const std::string text = Text(IdsOf(generation));
  EXPECT_TRUE(text.ends_with("ai name=assistant\nGood day")) << text;
  std::get<ChatPrompt>(generation.prompt).messages = Json::array({Message("user", "Hello")});
  EXPECT_FALSE(MakePrompt(*nano_.served, generation, kNothing));
}

TEST_F(PromptsTest, ImagesForAModelOfTextAndTooManyOfThemAreRefused) {
  Json content = Json::array();
  for (int i = 0; i < 101; ++i) {
    content.push_back({{"type", "image_url"}, {"image_url", {{"url", "data:,"}}}});
  }
  const Json messages = {{{"role", "user"}, {"content", content}}};
  const auto text = MakePrompt(*nano_.served, Chat(messages), kNothing);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().param, "messages[0].content[0]");
  EXPECT_EQ(text.error().message, "the model nano reads text alone, found an image");
  ServedModel::Options options;
  options.images = std::make_shared<const ImageReader>(
      VisionConfig{.tiles = {}, .normalisation = ClipNormalisation()});
  const ServedNano seeing(std::move(options));
  const auto many = CheckImages(*seeing.served, messages);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().param, "messages[0].content[100]");
  EXPECT_EQ(many.error().message, "a request holds at most 100 images, found 101");
}

TEST_F(PromptsTest, WhatIsTooLongIsToldWithItsNumbers) {
  const int64_t context = nano_.served->context();
  Generation generation;
  generation.prompt = TokenPrompt{Ids(static_cast<size_t>(context) + 1, 5)};
  auto request = MakeRequest(*nano_.served, generation, {IdsOf(generation), {}});
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().overflow->prompt, context + 1);
  EXPECT_EQ(request.error().overflow->context, context);

  generation.prompt = TokenPrompt{Ids(100, 5)};
  generation.max_tokens = context;
  request = MakeRequest(*nano_.served, generation, {IdsOf(generation), {}});
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->max_tokens, context - 100);
  generation.max_tokens_must_fit = true;
  request = MakeRequest(*nano_.served, generation, {IdsOf(generation), {}});
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().overflow->max_tokens, context);
}

TEST_F(PromptsTest, TheRequestSaysMoreThanTheModel) {
  Generation generation = Chat(Json::array({Message("user", "Hello")}));
  Request request = *MakeRequest(*nano_.served, generation, {IdsOf(generation), {}});
  EXPECT_EQ(request.sampling.temperature, nano_.served->defaults().sampling.temperature);
  EXPECT_FALSE(request.stop_tokens.empty());
  generation.sampling.temperature = 0.25;
  generation.sampling.seed = 7;
  generation.ignore_eos = true;
  generation.stop_token_ids = {11};
  request = *MakeRequest(*nano_.served, generation, {IdsOf(generation), {}});
  EXPECT_EQ(request.sampling.temperature, 0.25);
  EXPECT_EQ(request.sampling.seed, 7U);
  EXPECT_EQ(request.stop_tokens, Ids{11});
}

}  // namespace
}  // namespace fulmen
