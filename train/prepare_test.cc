#include "train/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

using Ids = std::vector<int32_t>;

// A model folder with a tokenizer of 512 tokens, special ones and a chat template among them.
const char* const kModel = "text/hybrid-bf16";

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string golden = testing::GoldenFolder(kModel);
    if (golden.empty()) GTEST_SKIP() << "no golden " << kModel;
    fs::create_directory(folder_ / "model");
    for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
      fs::copy_file(golden + "/" + file, folder_ / "model/" + file);
    }
  }

  std::string Write(const std::string& name, const std::string& contents) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / name, contents));
    return folder_ / name;
  }

  PrepareOptions Options(std::vector<std::string> files) const {
    PrepareOptions options;
    options.files = std::move(files);
    options.out = folder_ / "out";
    options.model = folder_ / "model";
    return options;
  }

  static Result<PrepareReport> Prepare(const PrepareOptions& options, int threads = 2) {
    ThreadPool pool(threads);
    return PrepareData(options, pool, [](int64_t) { return true; });
  }

  // The error, after which nothing may be left behind.
  std::string Error(const PrepareOptions& options) {
    const auto before = Entries();
    const auto report = Prepare(options);
    EXPECT_EQ(Entries(), before);
    return report ? "no error" : report.error().message;
  }

  std::set<std::string> Entries() const {
    std::set<std::string> entries;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      entries.insert(entry.path().string());
    }
    return entries;
  }

  Dataset Open(const std::string& name) const {
    auto dataset = Dataset::Open(folder_ / name);
    EXPECT_TRUE(dataset.has_value()) << dataset.error().message;
    return *std::move(dataset);
  }

  Tokenizer LoadTokenizer(const std::string& name) const {
    auto tokenizer = Tokenizer::Load(folder_ / name);
    EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
    return *std::move(tokenizer);
  }

  // Two thousand lines of words and numbers.
  std::string Corpus(const std::string& name) {
    std::string lines;
    for (int i = 0; i < 2000; ++i) {
      std::string words;
      for (int word = 0; word < 3 + i % 5; ++word) {
        words += fmt::format("word{} is {}, ", word, (i + word * 37) % 1700);
      }
      lines += Json{{"text", words}}.dump() + "\n";
    }
    return Write(name, lines);
  }

  testing::TemporaryFolder folder_;
};

// (text, what of it is in the loss) of a document.
std::pair<std::string, std::string> TextAndLoss(const Tokenizer& tokenizer,
                                                const Document& document) {
  Ids in_loss;
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    const bool counts = document.loss_mask.empty() || document.loss_mask[i] != 0;
    if (counts) in_loss.push_back(document.tokens[i]);
  }
  return {*tokenizer.Decode(document.tokens), *tokenizer.Decode(in_loss)};
}

TEST_F(PrepareTest, DocumentsComeBackInOrder) {
  const std::string text = Write("a.txt", "It was <image> a dark night.\n");
  const std::string lines = Write("b.jsonl",
                                  R"({"prompt": "2 + 2 =", "completion": " 4"}
{"text": ""}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]})");
  const auto report = Prepare(Options({text, lines}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  const Dataset dataset = Open("out");
  const Tokenizer tokenizer = LoadTokenizer("model");
  ASSERT_EQ(dataset.documents(), 3);
  EXPECT_EQ(report->train.documents, 3);
  EXPECT_EQ(report->empty_documents, 1);
  EXPECT_EQ(dataset.vocabulary(), 512);
  EXPECT_EQ(dataset.tokenizer(), TokenizerFingerprint(tokenizer));
  const std::string end = "<end_of_sentence>";
  using Pair = std::pair<std::string, std::string>;
  const std::string story = "It was <image> a dark night.\n" + end;
  EXPECT_EQ(TextAndLoss(tokenizer, dataset.document(0)), (Pair{story, story}));
  EXPECT_EQ(TextAndLoss(tokenizer, dataset.document(1)), (Pair{"2 + 2 = 4" + end, " 4" + end}));
  EXPECT_EQ(TextAndLoss(tokenizer, dataset.document(2)),
            (Pair{"<beginning_of_sentence>user name=user\nHi" + end +
                      "\n<beginning_of_sentence>ai name=assistant\nYes?" + end + "\n",
                  "Yes?" + end}));
  // The marker in the text is text, the end is a token.
  const std::span<const int32_t> ids = dataset.document(0).tokens;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer.TokenId("<image>")), 0);
  EXPECT_EQ(ids.back(), *tokenizer.eos_id());
  EXPECT_EQ(report->train.tokens, dataset.tokens());
}

TEST_F(PrepareTest, NoEndLeavesTextAlone) {
  PrepareOptions options = Options({Write("a.txt", "abc")});
  options.end = false;
  ASSERT_TRUE(Prepare(options));
  EXPECT_EQ(TextAndLoss(LoadTokenizer("model"), Open("out").document(0)).first, "abc");
}

TEST_F(PrepareTest, ThreadsAndShardsDoNotMatter) {
  PrepareOptions options = Options({Corpus("a.jsonl"), Corpus("b.jsonl")});
  options.train_vocabulary = 600;
  options.held_out = 0.2;
  ASSERT_TRUE(Prepare(options, 1));
  PrepareOptions other = options;
  other.out = folder_ / "other";
  ASSERT_TRUE(Prepare(other, 4));
  for (const char* file : {"tokenizer.json", "train/dataset.json", "train/shard-00000.safetensors",
                           "held-out/shard-00000.safetensors"}) {
    EXPECT_EQ(testing::ReadFileOrDie(folder_ / "out/" + file),
              testing::ReadFileOrDie(folder_ / "other/" + file))
        << file;
  }
  other.out = folder_ / "small";
  other.shard_tokens = 1000;
  const auto report = Prepare(other);
  ASSERT_TRUE(report.has_value());
  EXPECT_GT(report->train.shards, 10);
  const Dataset large = Open("out/train");
  const Dataset small = Open("small/train");
  ASSERT_EQ(large.documents(), small.documents());
  for (int64_t i = 0; i < large.documents(); ++i) {
    const std::span<const int32_t> a = large.document(i).tokens;
    const std::span<const int32_t> b = small.document(i).tokens;
    ASSERT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

// A text is either trained on or held out, however often it occurs.
TEST_F(PrepareTest, HeldOutTextsAreNotTrainedOn) {
  PrepareOptions options = Options({Corpus("a.jsonl"), Corpus("b.jsonl")});
  options.held_out = 0.2;
  const auto report = Prepare(options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  std::set<Ids> texts[2];
  for (const int part : {0, 1}) {
    const Dataset dataset = Open(part == 0 ? "out/train" : "out/held-out");
    for (int64_t i = 0; i < dataset.documents(); ++i) {
      const std::span<const int32_t> ids = dataset.document(i).tokens;
      texts[part].emplace(ids.begin(), ids.end());
    }
  }
  for (const Ids& text : texts[1]) EXPECT_FALSE(texts[0].contains(text));
  // 2000 different texts: six deviations of a binomial distribution are 0.054.
  const auto total = static_cast<double>(texts[0].size() + texts[1].size());
  EXPECT_NEAR(static_cast<double>(texts[1].size()) / total, 0.2, 6 * std::sqrt(0.16 / total));
  EXPECT_EQ(report->train.documents + report->held_out->documents, 4000);
}

TEST_F(PrepareTest, TrainsATokenizerThatChats) {
  const std::string chat =
      Write("chat.jsonl", R"({"messages": [{"role": "user", "content": "Hi"}, )"
                          R"({"role": "assistant", "content": "Yes?"}]})");
  PrepareOptions options = Options({Corpus("a.jsonl"), chat});
  options.train_vocabulary = 512;
  options.special = {"<think>", "<image>"};
  const auto report = Prepare(options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  const Tokenizer tokenizer = LoadTokenizer("out");
  EXPECT_EQ(tokenizer.vocab_size(), 512);
  EXPECT_EQ(tokenizer.TokenId("<think>"), 511);
  EXPECT_EQ(report->train.vocabulary, 512);
  const Dataset dataset = Open("out");
  const Document last = dataset.document(dataset.documents() - 1);
  EXPECT_EQ(TextAndLoss(tokenizer, last).second, "Yes?<end_of_sentence>");
}

TEST_F(PrepareTest, FailuresLeaveNothingBehind) {
  const std::string text = Write("a.txt", "some text");
  const std::string bad = Write("b.txt", "some\x80text");
  EXPECT_EQ(Error(Options({text, bad})), bad + ": text in UTF-8 is expected, found 0x80 at byte 4");
  PrepareOptions options = Options({text});
  options.train_vocabulary = 300;
  EXPECT_NE(Error(options).find("the text is too short for a vocabulary of 300"),
            std::string::npos);
  options.train_vocabulary = 262;
  options.special = {"<think>"};
  EXPECT_EQ(Error(options),
            "a vocabulary of at least 263 tokens is expected (256 bytes and 7 special tokens), "
            "found 262");
  options = Options({text});
  options.held_out = 1e-9;
  EXPECT_EQ(
      Error(options),
      "nothing is held out: at a share of 1e-09 none of the 1 documents was; --held-out wants "
      "a larger share, or text files cut into more documents (--documents, "
      "--document-separator)");
  for (const double share : {1.0, -0.1, std::nan("")}) {
    options.held_out = share;
    EXPECT_EQ(Error(options),
              fmt::format("a share of 0 to below 1 can be held out, found {}", share));
  }
  options = Options({Write("empty.jsonl", "\n\n")});
  EXPECT_EQ(Error(options), "the input has no text");
  options = Options({Write("asked.jsonl", R"({"prompt": "p", "completion": ""})")});
  options.end = false;
  EXPECT_EQ(
      Error(options),
      "no token counts in the loss: only completions and what assistants say is, and there is "
      "none");
  options = Options({text});
  options.model = folder_ / "nowhere";
  EXPECT_EQ(Error(options), options.model +
                                ": expected a model folder (config.json, safetensors and tokenizer "
                                "files) or a .gguf file, found nothing");
  options = Options({text});
  options = Options({text, bad});
  options.out = folder_ / "parents/are/made/and/go";
  EXPECT_EQ(Error(options), bad + ": text in UTF-8 is expected, found 0x80 at byte 4");
  options.out = folder_ / "a.txt/out";
  EXPECT_EQ(Error(options), "cannot write " + options.out + ": Not a directory");
  options.out = folder_ / "model";
  EXPECT_EQ(Error(options), options.out + ": a new folder is expected, this is there already");
}

TEST_F(PrepareTest, ParentsAreMade) {
  PrepareOptions options = Options({Write("a.txt", "some text")});
  options.out = folder_ / "new/folders/out/";
  const auto report = Prepare(options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(Open("new/folders/out").documents(), 1);
  EXPECT_EQ(Entries().count(folder_ / "new/folders/out/dataset.json"), 1U);
}

TEST_F(PrepareTest, AFolderOfTwoDatasetsIsNone) {
  PrepareOptions options = Options({Corpus("corpus.jsonl")});
  options.held_out = 0.1;
  ASSERT_TRUE(Prepare(options).has_value());
  const auto dataset = Dataset::Open(options.out);
  ASSERT_FALSE(dataset.has_value());
  EXPECT_EQ(dataset.error().message, options.out + " is no dataset but holds two: " + options.out +
                                         "/train and " + options.out + "/held-out are expected");
}

// Of the dataset and of a tokenizer trained for it.
TEST_F(PrepareTest, TheChatFormatIsThatOfTheChatsOrTheOneAskedFor) {
  const std::string text = Write("a.txt", "aaaa bbbb\n\naaaa bbbb\n");
  const std::string chat = Write(
      "b.jsonl",
      R"({"messages": [{"role": "user", "content": "aa"}, {"role": "assistant", "content": "bb"}]})");
  using Chat = std::optional<ChatFormat>;
  const auto expect = [this](const PrepareOptions& options, Chat expected) {
    fs::remove_all(options.out);
    const auto report = Prepare(options);
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_EQ(report->train.chat_format, expected);
    EXPECT_EQ(Open("out").chat_format(), expected);
    if (options.train_vocabulary == 0) return;
    EXPECT_EQ(*DetectChatFormat(LoadTokenizer("out").chat_template()), expected);
  };
  for (const int64_t vocabulary : {0, 264}) {
    PrepareOptions options = Options({text});
    options.train_vocabulary = vocabulary;
    expect(options, std::nullopt);
    options.documents.chat = ChatFormat::kM1;
    expect(options, ChatFormat::kM1);
    options.files.push_back(chat);
    expect(options, ChatFormat::kM1);
    options.documents.chat = std::nullopt;
    expect(options, ChatFormat::kText01);
  }
}

TEST_F(PrepareTest, TokensBeyondTheModelAreNamed) {
  Json config = *ReadJsonFile(folder_ / "model/config.json");
  config["vocab_size"] = 300;
  config["bos_token_id"] = config["eos_token_id"] = nullptr;
  Write("model/config.json", config.dump());
  PrepareOptions options = Options({Write("a.jsonl", "{\"text\": \"a\"}\n")});
  const std::string error = Error(options);
  EXPECT_NE(error.find("a.jsonl:1: the tokenizer makes id "), std::string::npos) << error;
  EXPECT_NE(error.find("beyond the model's vocabulary of 300"), std::string::npos) << error;
}

TEST_F(PrepareTest, CancellingLeavesNothingBehind) {
  const PrepareOptions options = Options({Write("a.txt", "some text")});
  const auto before = Entries();
  ThreadPool pool(1);
  const auto report = PrepareData(options, pool, [](int64_t) { return false; });
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(Entries(), before);
}

}  // namespace
}  // namespace fulmen
