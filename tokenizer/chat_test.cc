#include "tokenizer/chat.h"

#include <gtest/gtest.h>

#include "tokenizer/python_json.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

std::string Render(ChatFormat format, const std::string& request) {
  const auto json = ParseJson(request, "test");
  EXPECT_TRUE(json.has_value()) << request;
  const auto pieces = FormatChat(format, *json);
  return pieces ? ChatText(*pieces) : "error: " + pieces.error().message;
}

std::string Messages(const std::string& messages) {
  return R"({"add_generation_prompt": false, "messages": [)" + messages + "]}";
}

TEST(PythonJson, LikeJsonDumps) {
  const auto dumps = [](const char* text) { return PythonJson(*ParseJson(text, "test")); };
  EXPECT_EQ(dumps(R"({"b":1,"a":[true,false,null],"c":{}})"),
            R"({"b": 1, "a": [true, false, null], "c": {}})");
  EXPECT_EQ(dumps(R"(["\"\\\/\b\f\n\r\t\u0001\u007f<>&'\u00e9\ud83d\ude00\u2028"])"),
            "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f<>&'\u00e9\U0001F600\u2028\"]");
  EXPECT_EQ(dumps("[1.0, 1.5, -0.0, 1e5, 1e15, 1e16, 1e22, 1e-4, 1e-5, 0.1, 123456789.125]"),
            "[1.0, 1.5, -0.0, 100000.0, 1000000000000000.0, 1e+16, 1e+22, 0.0001, 1e-05, 0.1, "
            "123456789.125]");
  EXPECT_EQ(dumps("[-7, 18446744073709551615, 5e-324, 1.7976931348623157e308]"),
            "[-7, 18446744073709551615, 5e-324, 1.7976931348623157e+308]");
  EXPECT_EQ(dumps("[]"), "[]");
}

TEST(Chat, Names) {
  for (const ChatFormat format :
       {ChatFormat::kText01, ChatFormat::kVl01, ChatFormat::kM1, ChatFormat::kM1LlamaCpp}) {
    EXPECT_EQ(ChatFormatFromName(ChatFormatName(format)), format);
  }
  EXPECT_EQ(ChatFormatFromName("chatml"), std::nullopt);
}

TEST(Chat, Detection) {
  EXPECT_EQ(*DetectChatFormat(""), std::nullopt);
  EXPECT_EQ(*DetectChatFormat("x<beginning_of_sentence>"), ChatFormat::kText01);
  EXPECT_EQ(*DetectChatFormat("<beginning_of_sentence><image>"), ChatFormat::kVl01);
  EXPECT_EQ(*DetectChatFormat("tool_setting=tools"), ChatFormat::kM1);
  EXPECT_EQ(*DetectChatFormat("tool_setting=tools name=MiniMax AI"), ChatFormat::kM1LlamaCpp);
  EXPECT_FALSE(DetectChatFormat("{{ '<|im_start|>' }}").has_value());
}

TEST(Chat, OnlyTemplateAndAssistantAreTrusted) {
  const auto json = *ParseJson(Messages(R"({"role": "user", "content": "U"},
      {"role": "assistant", "content": "A"})"),
                               "test");
  const auto pieces = FormatChat(ChatFormat::kText01, json);
  ASSERT_TRUE(pieces.has_value());
  for (const PromptPiece& piece : *pieces) EXPECT_EQ(piece.trusted, piece.text != "U");
}

// What the assistant says and the marker that ends it, whatever it says.
TEST(Chat, TheLossMaskIsTheAssistantsTurns) {
  const auto json = *ParseJson(Messages(R"({"role": "user", "content": "U"},
      {"role": "assistant", "content": [{"type": "text", "text": "A"},
                                        {"type": "text", "text": "B"}]},
      {"role": "user", "content": "V"}, {"role": "assistant", "content": ""},
      {"role": "assistant", "content": null, "tool_calls": [
        {"function": {"name": "f", "arguments": {}}}]})"),
                               "test");
  const std::string end = "<end_of_sentence>";
  for (const auto& [format, calls] :
       {std::pair(ChatFormat::kText01, "<function_call>```typescript\nfunctions.f({})\n```"),
        std::pair(ChatFormat::kVl01, "<function_call>```typescript\nfunctions.f({})\n```"),
        std::pair(ChatFormat::kM1, R"(<tool_calls>
{"name": "f", "arguments": {}}
</tool_calls>)"),
        std::pair(ChatFormat::kM1LlamaCpp, R"(<tool_calls>
{"name": "f", "arguments": {}}
</tool_calls>)")}) {
    const auto pieces = FormatChat(format, json);
    ASSERT_TRUE(pieces.has_value());
    std::string masked;
    for (const PromptPiece& piece : *pieces) {
      if (piece.in_loss) masked += piece.text;
    }
    std::string expected = "AB";
    expected.append(end).append(end).append(calls).append(end);
    EXPECT_EQ(masked, expected) << ChatFormatName(format);
  }
}

// The newline of the prompt and those of the answer do not become one token.
TEST(Chat, MaskedTextIsEncodedOnItsOwn) {
  const Tokenizer* tokenizer = MinimaxTokenizer();
  if (tokenizer == nullptr) GTEST_SKIP() << "golden/tokenizer/minimax is absent";
  const auto json = *ParseJson(Messages(R"({"role": "user", "content": "U"},
      {"role": "assistant", "content": "\n\nA <end_of_sentence>"})"),
                               "test");
  const auto pieces = FormatChat(ChatFormat::kText01, json);
  ASSERT_TRUE(pieces.has_value());
  const MaskedTokens tokens = EncodeWithLossMask(*tokenizer, *pieces);
  ASSERT_EQ(tokens.loss_mask.size(), tokens.ids.size());
  std::vector<int32_t> in_loss;
  std::vector<int32_t> read;
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    (tokens.loss_mask[i] != 0 ? in_loss : read).push_back(tokens.ids[i]);
  }
  const std::string end = "<end_of_sentence>";
  EXPECT_EQ(in_loss, tokenizer->Encode("\n\nA " + end + end, Tokenizer::Markers::kParse));
  EXPECT_EQ(*tokenizer->Decode(read),
            "<beginning_of_sentence>user name=user\nU<end_of_sentence>\n"
            "<beginning_of_sentence>ai name=assistant\n\n");
  EXPECT_EQ(tokens.loss_mask.back(), 0);
  EXPECT_NE(tokens.ids, EncodeChat(*tokenizer, *pieces));  // where it is one
}

TEST(Chat, ToolResultsFindTheirName) {
  const std::string chat = Messages(R"({"role": "user", "content": "W?"},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "R"})");
  const std::string tail = "<end_of_sentence>\n";
  EXPECT_EQ(Render(ChatFormat::kText01, chat),
            "<beginning_of_sentence>user name=user\nW?<end_of_sentence>\n"
            "<beginning_of_sentence>ai name=assistant\n<function_call>```typescript\n"
            "functions.f({\"a\": 1})\n```<end_of_sentence>\n"
            "<beginning_of_sentence>system function_response=functions\n"
            "{\"name\": \"f\", \"response\": R}<end_of_sentence>\n");
  EXPECT_EQ(Render(ChatFormat::kM1, chat),
            "<begin_of_document><beginning_of_sentence>user name=user\nW?<end_of_sentence>\n"
            "<beginning_of_sentence>ai name=assistant\n<tool_calls>\n"
            "{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_calls><end_of_sentence>\n"
            "<beginning_of_sentence>tool name=tools\ntool name: f\ntool result: R\n\n"
            "<end_of_sentence>\n");
  EXPECT_EQ(Render(ChatFormat::kM1, Messages(R"({"role": "tool", "content": "R"})")),
            "error: messages[0]: the chat format m1 needs the name of the tool whose result this "
            "is: 'name', or the 'tool_call_id' of an earlier call");
}

TEST(Chat, LlamaCppStripsAndUsesTheFirstSystemMessageOnly) {
  EXPECT_EQ(
      Render(ChatFormat::kM1LlamaCpp, Messages(R"({"role": "system", "content": " \u00a0S\u001f "},
                       {"role": "system", "content": "T"},
                       {"role": "user", "content": [{"type": "text", "text": " a b "},
                         {"type": "image"}, {"type": "text", "text": "\n"}]})")),
      "<begin_of_document><beginning_of_sentence>system ai_setting=assistant\nS"
      "<end_of_sentence>\n<beginning_of_sentence>user name=user\na b<end_of_sentence>\n");
}

// The marker of an image counts where an image is, and nowhere else.
TEST(Chat, OnlyImagesHaveTheirMarker) {
  const std::string said = R"({"role": "user", "content": [{"type": "image"},
      {"type": "text", "text": "<image>"}]}, {"role": "assistant", "content": "<image> it is"})";
  const auto pieces = FormatChat(ChatFormat::kVl01, ParseJson(Messages(said), "chat").value());
  ASSERT_TRUE(pieces);
  int64_t markers = 0;
  for (const PromptPiece& piece : *pieces) {
    const bool holds = piece.text.find("<image>") != std::string::npos;
    markers += holds ? 1 : 0;
    EXPECT_EQ(holds && piece.trusted, piece.text == "<image>" && markers == 1) << piece.text;
  }
  EXPECT_EQ(markers, 3);
}

// A tokenizer that puts a space before a text: bytes are ids, "<x>" is 256.
Tokenizer PrefixSpaceTokenizer() {
  Json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[SpellingFromBytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  const Json json = {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens", Json::array({{{"id", 256}, {"content", "<x>"}, {"special", true}}})}};
  return Tokenizer::Parse(json.dump(), "test").value();
}

using Ids = std::vector<int32_t>;

TEST(Chat, PartsOfOneTextGetOnePrefixSpace) {
  const Tokenizer tokenizer = PrefixSpaceTokenizer();
  const auto encode = [&](const std::vector<PromptPiece>& pieces) {
    return EncodeWithLossMask(tokenizer, pieces);
  };
  const MaskedTokens completion = encode({{"2=", false, false}, {"4", false, true}});
  EXPECT_EQ(completion.ids, (Ids{' ', '2', '=', '4'}));
  EXPECT_EQ(completion.loss_mask, (std::vector<uint8_t>{0, 0, 0, 1}));
  EXPECT_EQ(completion.ids, encode({{"2=4", false, true}}).ids);
  // A marker ends a text, wherever the pieces are cut.
  const std::vector<PromptPiece> chat = {
      {"a<x>", true, false}, {"b", false, true}, {"c<x>", true, true}, {"d", false, false}};
  const Ids whole = {' ', 'a', 256, ' ', 'b', 'c', 256, ' ', 'd'};
  EXPECT_EQ(encode(chat).ids, whole);
  EXPECT_EQ(EncodeChat(tokenizer, chat), whole);
  EXPECT_EQ(EncodeChat(tokenizer, chat, true), Ids(whole.begin() + 1, whole.end()));
}

TEST(Chat, ATemplateOfAnotherKindIsNamedWithTheFlagThatHelps) {
  EXPECT_EQ(DetectChatFormat("{% for m in messages %}\n<|im_start|>").error().message,
            "the model's chat template is none of the family's, it begins "
            "\"{% for m in messages %}\\n<|im_start|>\"; name a format with --chat-format "
            "(text-01, vl-01, m1 or m1-llama-cpp)");
}

TEST(Chat, ErrorsNameMessageAndField) {
  const auto error = [](const std::string& messages, ChatFormat format = ChatFormat::kText01) {
    return Render(format, Messages(messages));
  };
  EXPECT_EQ(error(""), "error: messages: at least one is expected, found none");
  EXPECT_EQ(error(R"({"content": "x"})"),
            "error: messages[0].role: a string is expected, found nothing");
  EXPECT_EQ(error(R"({"role": "user", "content": "x"}, {"role": "narrator", "content": "x"})"),
            "error: messages[1].role: unknown role 'narrator'; known are system, user, assistant "
            "and tool (or function, or ipython, for a tool's result)");
  EXPECT_EQ(error(R"({"role": "user"})"),
            "error: messages[0].content: a string or a list of parts is expected, found nothing");
  EXPECT_EQ(error(R"({"role": "user", "content": 7})"),
            "error: messages[0].content: a string or a list of parts is expected, found 7");
  EXPECT_EQ(error(R"({"role": "user", "content": [{"type": "text"}]})"),
            "error: messages[0].content[0].text: a string is expected, found nothing");
  EXPECT_EQ(error(R"({"role": "user", "content": [{"type": "video"}]})"),
            "error: messages[0].content[0].type: unknown part type 'video'; known are text, image "
            "and image_url");
  EXPECT_EQ(error(R"({"role": "user", "content": []})"),
            "error: messages[0].content: a text part is expected, found none");
  EXPECT_EQ(error(R"({"role": "user", "content": [{"type": "image"}]})", ChatFormat::kM1),
            "error: messages[0].content[0]: a text part is expected here by the chat format m1, "
            "found an image");
  EXPECT_EQ(error("3"), "error: messages[0]: an object is expected, found 3");
  EXPECT_EQ(error(R"({"role": "assistant", "content": "", "tool_calls":
                [{"function": {"name": "f", "arguments": "{"}}]})"),
            "error: messages[0].tool_calls[0].function.arguments: not valid JSON at byte 2");
  EXPECT_EQ(Render(ChatFormat::kM1, R"({"messages": 3})"),
            "error: messages: a list is expected, found 3");
  EXPECT_EQ(Render(ChatFormat::kM1, "[]"),
            "error: the chat request: an object is expected, found []");
  EXPECT_EQ(
      Render(ChatFormat::kM1, R"({"messages": [{"role": "user", "content": "x"}], "tools": [3]})"),
      "error: tools[0]: an object is expected, found 3");
}

}  // namespace
}  // namespace fulmen
