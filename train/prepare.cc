#include "train/prepare.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <utility>

#include "base/file_io.h"
#include "model/weights.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/hash.h"
#include "train/permutation.h"
#include "train/shard_writer.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

using Progress = std::function<bool(int64_t)>;

// A folder that gets its name when it is whole, and is removed otherwise.
class PartialFolder {
 public:
  static Result<PartialFolder> Create(const std::string& target) {
    std::error_code error;
    if (fs::exists(target, error)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: a new folder is expected, this is there already", target);
    }
    std::string path = target + ".XXXXXX";
    if (mkdtemp(path.data()) == nullptr) {
      return Fail(ErrorCode::kIo, "cannot write {}: {}", target, ErrnoMessage(errno));
    }
    return PartialFolder(target, path);
  }
  PartialFolder(PartialFolder&& other) noexcept
      : target_(std::move(other.target_)), path_(std::exchange(other.path_, {})) {}
  PartialFolder& operator=(PartialFolder&&) = delete;
  ~PartialFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }

  const std::string& path() const { return path_; }

  Status Commit() {
    const mode_t mask = umask(0);  // mkdtemp made it private; give it what mkdir() would have
    umask(mask);
    if (chmod(path_.c_str(), 0777 & ~mask) != 0 || rename(path_.c_str(), target_.c_str()) != 0) {
      return Fail(ErrorCode::kIo, "cannot write {}: {}", target_, ErrnoMessage(errno));
    }
    path_.clear();
    return {};
  }

 private:
  PartialFolder(std::string target, std::string path)
      : target_(std::move(target)), path_(std::move(path)) {}

  std::string target_;
  std::string path_;
};

// Calls body for the documents of the files, a few megabytes of them at a time.
Status ForEachBatch(const PrepareOptions& options, const Progress& progress,
                    const std::function<Status(std::span<const RawDocument>)>& body) {
  DocumentReader reader(options.files, options.documents);
  for (;;) {
    FULMEN_ASSIGN(const std::vector<RawDocument> documents, reader.NextDocuments());
    if (documents.empty()) return {};
    FULMEN_TRY(body(documents));
    int64_t bytes = 0;
    for (const RawDocument& document : documents) bytes += static_cast<int64_t>(document.size);
    if (!progress(bytes)) return Fail(ErrorCode::kCancelled, "interrupted");
  }
}

// Calls body(index, worker) for every index below `count` in parallel. Of several errors the first
// index's counts.
Status TryInParallel(ThreadPool& pool, size_t count,
                     const std::function<Status(size_t index, size_t worker)>& body) {
  std::vector<Status> statuses(count);
  pool.ParallelFor(static_cast<int64_t>(count), [&](int64_t task, int worker) {
    const auto index = static_cast<size_t>(task);
    statuses[index] = body(index, static_cast<size_t>(worker));
  });
  for (Status& status : statuses) FULMEN_TRY(std::move(status));
  return {};
}

bool IsHeldOut(const std::vector<PromptPiece>& pieces, double share) {
  if (share == 0) return false;
  uint64_t hash = 0;
  for (const PromptPiece& piece : pieces) hash = MixBits(hash ^ HashBytes(piece.text));
  return static_cast<double>(hash >> 11) * 0x1p-53 < share;
}

// Markers are no text to learn words from.
void CountPieces(const std::vector<PromptPiece>& pieces, const StringMatcher& markers,
                 WordCounts& counts) {
  for (const PromptPiece& piece : pieces) {
    const std::string_view text = piece.text;
    std::vector<StringMatcher::Match> found;
    if (piece.trusted) markers.FindAll(text, 0, found);
    size_t done = 0;
    for (const StringMatcher::Match& marker : found) {
      CountWords(text.substr(done, marker.begin - done), counts);
      done = marker.end;
    }
    CountWords(text.substr(done), counts);
  }
}

// Trains on what is not held out, and writes tokenizer.json and tokenizer_config.json.
Status TrainTokenizer(const PrepareOptions& options, const std::string& folder, ThreadPool& pool,
                      const Progress& progress) {
  std::vector<std::string> special = FamilySpecialTokens();
  for (const std::string& token : options.special) {
    if (std::find(special.begin(), special.end(), token) == special.end()) special.push_back(token);
  }
  const auto fixed = static_cast<int64_t>(256 + special.size());
  if (options.train_vocabulary < fixed) {
    return Fail(ErrorCode::kInvalidArgument,
                "a vocabulary of at least {} tokens is expected (256 bytes and {} special tokens), "
                "found {}",
                fixed, special.size(), options.train_vocabulary);
  }
  StringMatcher markers;
  for (const std::string& token : special) markers.Add(token, 0);
  std::vector<WordCounts> counts(static_cast<size_t>(pool.size()));
  const auto count_batch = [&](std::span<const RawDocument> documents) -> Status {
    return TryInParallel(pool, documents.size(), [&](size_t i, size_t worker) -> Status {
      FULMEN_ASSIGN(const ParsedDocument parsed, ParseDocument(documents[i], options.documents));
      if (IsHeldOut(parsed.pieces, options.held_out)) return {};
      CountPieces(parsed.pieces, markers, counts[worker]);
      return {};
    });
  };
  FULMEN_TRY(ForEachBatch(options, progress, count_batch));
  for (size_t i = 1; i < counts.size(); ++i) {
    for (const auto& [word, count] : counts[i]) counts[0][word] += count;
    counts[i].clear();
  }
  FULMEN_ASSIGN(const BpeMerges merges, TrainBpe(counts[0], options.train_vocabulary - fixed));
  FULMEN_TRY(WriteFileAtomically(folder + "/tokenizer.json", TokenizerJson(merges, special)));
  return WriteFileAtomically(folder + "/tokenizer_config.json", TokenizerConfigJson());
}

std::optional<int32_t> EndToken(const Tokenizer& tokenizer) {
  if (tokenizer.eos_id()) return tokenizer.eos_id();
  const auto id = tokenizer.TokenId("<end_of_sentence>");
  return id && tokenizer.IsSpecial(*id) ? id : std::nullopt;
}

struct TokenisedDocument {
  LearntTokens tokens;
  int64_t bytes = 0;
  bool held_out = false;
};

class Tokeniser {
 public:
  Tokeniser(const Tokenizer& tokenizer, const PrepareOptions& options, int64_t vocabulary)
      : tokenizer_(tokenizer), options_(options), vocabulary_(vocabulary) {
    if (options.end) end_ = EndToken(tokenizer);
  }

  Result<TokenisedDocument> Run(const RawDocument& document) const {
    FULMEN_ASSIGN(const ParsedDocument parsed, ParseDocument(document, options_.documents));
    TokenisedDocument result;
    if (parsed.pieces.empty()) return result;
    for (const PromptPiece& piece : parsed.pieces) {
      result.bytes += static_cast<int64_t>(piece.text.size());
    }
    result.held_out = IsHeldOut(parsed.pieces, options_.held_out);
    result.tokens = EncodeLearnt(tokenizer_, parsed.pieces);
    if (end_ && !parsed.chat) {
      result.tokens.ids.push_back(*end_);
      result.tokens.learnt.push_back(1);
    }
    for (const int32_t id : result.tokens.ids) {
      if (id < vocabulary_) continue;
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: the tokenizer makes id {}, beyond the model's vocabulary of {}",
                  document.Where(), id, vocabulary_);
    }
    return result;
  }

 private:
  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  int64_t vocabulary_;
  std::optional<int32_t> end_;
};

Result<ShardWriter> CreateWriter(const std::string& folder, const PrepareOptions& options,
                                 const Tokenizer& tokenizer, int64_t vocabulary) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, error.message());
  return ShardWriter(folder, options.shard_tokens, vocabulary, TokenizerFingerprint(tokenizer));
}

Result<PrepareReport> WriteShards(const PrepareOptions& options, const std::string& folder,
                                  const Tokenizer& tokenizer, int64_t vocabulary, ThreadPool& pool,
                                  const Progress& progress) {
  const bool split = options.held_out > 0;
  std::vector<ShardWriter> writers;
  for (const char* part : {"/train", "/held-out"}) {
    if (!split && !writers.empty()) break;
    FULMEN_ASSIGN(ShardWriter writer,
                  CreateWriter(split ? folder + part : folder, options, tokenizer, vocabulary));
    writers.push_back(std::move(writer));
  }
  PrepareReport report;
  const Tokeniser tokeniser(tokenizer, options, vocabulary);
  const auto write_batch = [&](std::span<const RawDocument> raw) -> Status {
    std::vector<TokenisedDocument> documents(raw.size());
    const auto tokenise = [&](size_t i, size_t) -> Status {
      FULMEN_ASSIGN(documents[i], tokeniser.Run(raw[i]));
      return {};
    };
    FULMEN_TRY(TryInParallel(pool, raw.size(), tokenise));
    for (const TokenisedDocument& document : documents) {
      report.text_bytes += document.bytes;
      if (document.tokens.ids.empty()) {
        ++report.empty_documents;
        continue;
      }
      ShardWriter& writer = writers[document.held_out ? 1 : 0];
      FULMEN_TRY(writer.Add({document.tokens.ids, document.tokens.learnt}));
    }
    return {};
  };
  FULMEN_TRY(ForEachBatch(options, progress, write_batch));
  for (ShardWriter& writer : writers) {
    FULMEN_TRY(writer.Finish());
    if (writer.info().documents > 0) continue;
    return Fail(ErrorCode::kInvalidArgument, "the input has no document for {}{}", options.out,
                !split                   ? ""
                : &writer == &writers[0] ? "/train"
                                         : "/held-out");
  }
  report.train = writers[0].info();
  if (split) report.held_out = writers[1].info();
  return report;
}

// Ids have to lie below this.
Result<int64_t> VocabularyOf(const std::string& folder, const Tokenizer& tokenizer) {
  std::error_code error;
  if (!fs::exists(folder + "/config.json", error)) return tokenizer.vocab_size();
  FULMEN_ASSIGN(const Config config, ReadFolderConfig(folder));
  return config.vocab_size;
}

}  // namespace

std::string TokenizerFingerprint(const Tokenizer& tokenizer) {
  uint64_t hash = 0;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto bytes = tokenizer.TokenBytes(static_cast<int32_t>(id));
    hash = MixBits(hash ^ (bytes ? HashBytes(*bytes) : 0));
  }
  return fmt::format("{:016x}", hash);
}

Result<PrepareReport> PrepareData(const PrepareOptions& options, ThreadPool& pool,
                                  const Progress& progress) {
  FULMEN_ASSIGN(PartialFolder folder, PartialFolder::Create(options.out));
  PrepareOptions detailed = options;
  if (options.train_vocabulary > 0) {
    detailed.model = folder.path();
    detailed.documents.chat = ChatFormat::kText01;
    FULMEN_TRY(TrainTokenizer(detailed, folder.path(), pool, progress));
  }
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(detailed.model));
  if (!detailed.documents.chat) {
    // A template of another kind only matters if there are chats.
    detailed.documents.chat =
        DetectChatFormat(tokenizer.chat_template()).value_or(std::optional<ChatFormat>());
  }
  FULMEN_ASSIGN(const int64_t vocabulary, VocabularyOf(detailed.model, tokenizer));
  FULMEN_ASSIGN(const PrepareReport report,
                WriteShards(detailed, folder.path(), tokenizer, vocabulary, pool, progress));
  FULMEN_TRY(folder.Commit());
  return report;
}

}  // namespace fulmen
