#include "train/documents.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using Cut = DocumentOptions::Cut;
using Format = DocumentOptions::Format;

class DocumentsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& contents) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / name, contents));
    return folder_ / name;
  }

  // The documents as "[read]{in the loss}", a chat with ! in front; or the error, without the
  // folder.
  std::vector<std::string> Read(const std::vector<std::string>& files,
                                const DocumentOptions& options = {}) {
    std::vector<std::string> texts;
    DocumentReader reader(files, options);
    for (;;) {
      const auto documents = reader.NextDocuments();
      if (!documents) return {WithoutFolder(documents.error().message)};
      if (documents->empty()) return texts;
      for (const RawDocument& document : *documents) {
        const auto parsed = ParseDocument(document, options);
        if (!parsed) return {WithoutFolder(parsed.error().message)};
        std::string text = parsed->chat ? "!" : "";
        for (const PromptPiece& piece : parsed->pieces) {
          text += piece.in_loss ? "{" + piece.text + "}" : "[" + piece.text + "]";
        }
        texts.push_back(text);
      }
    }
  }

  std::string WithoutFolder(std::string message) const {
    if (message.starts_with(folder_.path())) message.erase(0, folder_.path().size() + 1);
    return message;
  }

  testing::TemporaryFolder folder_;
};

using Texts = std::vector<std::string>;

TEST_F(DocumentsTest, TextFilesAreCutAtBlankLinesOrSeparatorsOrNotAtAll) {
  const std::string a = Write("a.txt", "\n\none\n\ntwo\nlines\n \t\n\n\nthree");
  const std::string b = Write("b", "---\none\n---\r\n---\ntwo\nthree --- four\n----\n---\nfive");
  const std::string c = Write("c.txt", "\r\none\r\nline\r\n\r\n \r\ntwo\r\n\r\n");
  EXPECT_EQ(Read({a, c}),
            (Texts{"{one\n}", "{two\nlines\n}", "{three}", "{one\r\nline\r\n}", "{two\r\n}"}));
  EXPECT_EQ(Read({a, b}, {.cut = Cut::kSeparator, .separator = "---"}),
            (Texts{"{\n\none\n\ntwo\nlines\n \t\n\n\nthree}", "{one\n}",
                   "{two\nthree --- four\n----\n}", "{five}"}));
  EXPECT_EQ(Read({a, Write("d.txt", "one\n\ntwo")}, {.cut = Cut::kFile}),
            (Texts{"{\n\none\n\ntwo\nlines\n \t\n\n\nthree}", "{one\n\ntwo}"}));
  EXPECT_EQ(Read({Write("c.jsonl", "{}\n")}, {.format = Format::kText}), (Texts{"{{}\n}"}));
  EXPECT_EQ(Read({Write("blank.txt", "\n \n")}), Texts{});
}

TEST_F(DocumentsTest, AByteOrderMarkIsPassedOver) {
  EXPECT_EQ(
      Read({Write("a.txt", "\xEF\xBB\xBFone"), Write("b.jsonl", "\xEF\xBB\xBF{\"text\": \"t\"}"),
            Write("c.txt", "\xEF\xBB\xBF")}),
      (Texts{"{one}", "{t}"}));
}

TEST_F(DocumentsTest, LinesOfJson) {
  const std::string file = Write("a.jsonl",
                                 "{\"text\": \"one\\nline\", \"id\": 3}\r\n\n  \n"
                                 "{\"prompt\": \"p\", \"completion\": \"c\"}\n"
                                 "{\"text\": \"\"}\n"
                                 "{\"prompt\": \"\", \"completion\": \"<end_of_sentence>\"}");
  EXPECT_EQ(Read({file}), (Texts{"{one\nline}", "[p]{c}", "", "{<end_of_sentence>}"}));
  const std::string other = Write("b.jsonl", "{\"body\": \"b\", \"text\": \"t\"}");
  EXPECT_EQ(Read({other}, {.text_key = "body"}), (Texts{"{b}"}));
}

TEST_F(DocumentsTest, TheLossMaskOfChatsIsTheAssistantsTurns) {
  const std::string file = Write("a.jsonl",
                                 R"({"text": "t"}
{"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]})");
  const std::string head = "<beginning_of_sentence>";
  const std::string end = "<end_of_sentence>";
  const DocumentOptions options{.chat = ChatFormat::kText01};
  EXPECT_EQ(Read({file}, options),
            (Texts{"{t}", "![" + head + "user name=user\n][U][" + end + "\n][" + head +
                              "ai name=assistant\n]{A}{" + end + "}[\n]"}));
  EXPECT_EQ(Read({file})[0],
            "a.jsonl:2: the tokenizer has no chat template of the family, so the chat format is to "
            "be named (--chat-format)");
  EXPECT_EQ(Read({file}, {.format = Format::kJsonl, .chat = ChatFormat::kText01})[0],
            "a.jsonl:2: 'text', or 'prompt' and 'completion' are expected, found 'messages'");
  EXPECT_EQ(Read({file}, {.format = Format::kChat, .chat = ChatFormat::kText01})[0],
            "a.jsonl:1: 'messages' are expected, found 'text'");
}

TEST_F(DocumentsTest, BadInputIsNamed) {
  const auto error = [this](const std::string& contents, const char* name = "f.jsonl",
                            const DocumentOptions& options = {.chat = ChatFormat::kText01}) {
    const Texts texts = Read({Write(name, contents)}, options);
    return texts.empty() ? "no documents" : texts[0];
  };
  EXPECT_EQ(error(""), "f.jsonl: text is expected, found an empty file");
  EXPECT_EQ(error("ab\ncd\xC3(", "f.txt"),
            "f.txt: text in UTF-8 is expected, found 0xc3 at byte 5");
  EXPECT_EQ(error("abc\xE2\x82", "f.txt"),
            "f.txt: text in UTF-8 is expected, found 0xe2 at byte 3");
  EXPECT_EQ(error(std::string("ab\0c", 4), "f.txt"),
            "f.txt: text is expected, found a NUL at byte 2");
  EXPECT_EQ(error("{\"text\": \"\x80\"}"),
            "f.jsonl: text in UTF-8 is expected, found 0x80 at byte 10");
  EXPECT_EQ(error("x\n--\nab\x80", "f.txt", {.cut = Cut::kSeparator, .separator = "--"}),
            "f.txt: text in UTF-8 is expected, found 0x80 at byte 7");
  EXPECT_EQ(error("\xFF\xFEx", "f.txt"),
            "f.txt: text in UTF-8 is expected, found UTF-16 (iconv -f UTF-16 -t UTF-8 makes it "
            "UTF-8)");
  EXPECT_EQ(error("\x1F\x8B\x08"),
            "f.jsonl: text in UTF-8 is expected, found a gzip file, to be unpacked first");
  EXPECT_EQ(error("{}", "f.json"),
            "f.json: a name in .jsonl is expected of a file with a JSON object per line; --format "
            "says what this is");
  EXPECT_EQ(error("{\"text\": \"a\"} x"), "f.jsonl:1: not valid JSON at byte 15");
  EXPECT_EQ(error(std::string("{\"text\": \"a\"}\0", 14)),
            "f.jsonl: text is expected, found a NUL at byte 13");
  EXPECT_EQ(error("\n\n{\"text\": "), "f.jsonl:3: not valid JSON at byte 10");
  EXPECT_EQ(error("[1]"), "f.jsonl:1: a JSON object is expected, found array");
  EXPECT_EQ(error("{}"),
            "f.jsonl:1: 'text', or 'prompt' and 'completion', or 'messages' are expected, found no "
            "key");
  EXPECT_EQ(error(R"({"prompt": "p", "id": 1})"),
            "f.jsonl:1: 'text', or 'prompt' and 'completion', or 'messages' are expected, found "
            "'prompt', 'id'");
  EXPECT_EQ(error(R"({"text": 3})"), "f.jsonl:1: 'text' should be a string, found number");
  EXPECT_EQ(error(R"({"prompt": "p", "completion": null})"),
            "f.jsonl:1: 'completion' should be a string, found null");
  EXPECT_EQ(error(R"({"messages": [{"role": "cat", "content": "x"}]})"),
            "f.jsonl:1: messages[0].role: unknown role 'cat'; known are system, user, assistant "
            "and tool (or function, or ipython, for a tool's result)");
}

TEST_F(DocumentsTest, FoldersAreSearched) {
  std::filesystem::create_directories(folder_ / "in/deep");
  std::filesystem::create_directories(folder_ / "none");
  for (const char* name : {"in/b.txt", "in/deep/a.jsonl", "in/a.txt", "in/c.md", "z"}) {
    Write(name, "x");
  }
  const auto files = FindInputFiles({folder_ / "z", folder_ / "in"});
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ(*files, (Texts{folder_ / "z", folder_ / "in/a.txt", folder_ / "in/b.txt",
                           folder_ / "in/deep/a.jsonl"}));
  EXPECT_EQ(WithoutFolder(FindInputFiles({folder_ / "none"}).error().message),
            "none: *.txt or *.jsonl files are expected, found none");
  EXPECT_EQ(WithoutFolder(FindInputFiles({folder_ / "gone"}).error().message),
            "gone: no such file or folder");
}

}  // namespace
}  // namespace fulmen
