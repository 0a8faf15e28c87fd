#include "train/prepare.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>

#include "base/file_io.h"
#include "base/random.h"
#include "base/temporaries.h"
#include "model/weights.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/hash.h"
#include "train/shard_writer.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

using Progress = std::function<bool(int64_t)>;

constexpr size_t kImageDocuments = 64;  // whose pixels are in memory at a time

// The folders above `target` that are not there, the innermost first.
std::vector<fs::path> MissingParents(const fs::path& target) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path parent = fs::absolute(target).parent_path(); !fs::exists(parent, error);
       parent = parent.parent_path()) {
    missing.push_back(parent);
  }
  return missing;
}

// A folder that gets its name when it is whole, and is removed otherwise, with the parents that
// were made for it.
class PartialFolder {
 public:
  static Result<PartialFolder> Create(std::string target) {
    while (target.size() > 1 && target.ends_with('/')) target.pop_back();
    std::error_code error;
    if (fs::exists(target, error)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: a new folder is expected, this is there already", target);
    }
    PartialFolder folder(target);
    folder.parents_ = MissingParents(target);
    fs::create_directories(fs::absolute(target).parent_path(), error);
    if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target, error.message());
    folder.folder_.emplace(TemporaryName(target));
    fs::create_directory(folder.path(), error);
    if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target, error.message());
    return folder;
  }
  PartialFolder(PartialFolder&& other) noexcept
      : target_(std::move(other.target_)),
        folder_(std::move(other.folder_)),
        parents_(std::exchange(other.parents_, {})) {}
  PartialFolder& operator=(PartialFolder&&) = delete;
  ~PartialFolder() {
    std::error_code ignored;
    folder_.reset();
    for (const fs::path& parent : parents_) fs::remove(parent, ignored);  // only if empty
  }

  const std::string& path() const { return folder_->path(); }

  Status Commit() {
    std::error_code error;
    fs::rename(path(), target_, error);
    if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target_, error.message());
    folder_->Keep();
    parents_.clear();
    return {};
  }

 private:
  explicit PartialFolder(std::string target) : target_(std::move(target)) {}

  std::string target_;
  std::optional<Temporary> folder_;
  std::vector<fs::path> parents_;
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

bool IsHeldOut(const std::vector<PromptPiece>& pieces, std::span<const TiledImage> images,
               double share) {
  if (share == 0) return false;
  uint64_t hash = 0;
  for (const PromptPiece& piece : pieces) hash = MixBits(hash ^ HashBytes(piece.text));
  for (const TiledImage& image : images) hash = MixBits(hash ^ image.digest.low);
  return static_cast<double>(hash >> 11) * 0x1p-53 < share;
}

tl::unexpected<Error> NoImages(const ParsedDocument& document) {
  return Fail(ErrorCode::kInvalidArgument,
              "{}: a model that reads images is to say how they are cut (--run, or -m with one), "
              "found none",
              document.images[0].where);
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

// Trains on what is not held out, and writes tokenizer.json and tokenizer_config.json, with a chat
// template if there are chats or `states_chat`.
Status TrainTokenizer(const PrepareOptions& options, bool states_chat, const std::string& folder,
                      ThreadPool& pool, const Progress& progress) {
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
  std::atomic<bool> chats = states_chat;
  const auto count_batch = [&](std::span<const RawDocument> documents) -> Status {
    return TryInParallel(pool, documents.size(), [&](size_t i, size_t worker) -> Status {
      FULMEN_ASSIGN(const ParsedDocument parsed, ParseDocument(documents[i], options.documents));
      if (parsed.chat) chats = true;
      if (!parsed.images.empty()) return NoImages(parsed);
      if (IsHeldOut(parsed.pieces, {}, options.held_out)) return {};
      CountPieces(parsed.pieces, markers, counts[worker]);
      return {};
    });
  };
  FULMEN_TRY(ForEachBatch(options, progress, count_batch));
  for (size_t i = 1; i < counts.size(); ++i) {
    for (const auto& [word, count] : counts[i]) counts[0][word] += count;
    counts[i].clear();
  }
  FULMEN_ASSIGN(const BpeMerges merges,
                TrainBpe(counts[0], options.train_vocabulary, static_cast<int64_t>(special.size()),
                         [&] { return progress(0); }));
  FULMEN_TRY(WriteFileAtomically(folder + "/tokenizer.json", TokenizerJson(merges, special)));
  const auto chat = chats ? options.documents.chat : std::nullopt;
  return WriteFileAtomically(folder + "/tokenizer_config.json", TokenizerConfigJson(chat));
}

std::optional<int32_t> EndToken(const Tokenizer& tokenizer) {
  if (tokenizer.eos_id()) return tokenizer.eos_id();
  const auto id = tokenizer.TokenId("<end_of_sentence>");
  return id && tokenizer.IsSpecial(*id) ? id : std::nullopt;
}

// What the data are for.
struct Target {
  int64_t vocabulary = 0;  // ids have to lie below
  std::optional<VisionConfig> vision = {};
};

struct TokenisedDocument {
  MaskedTokens tokens;
  std::vector<TiledImage> pixels;
  std::vector<DocumentImage> images;  // views of `pixels`
  int64_t bytes = 0;
  bool chat = false;
  bool held_out = false;
};

class Tokeniser {
 public:
  Tokeniser(const Tokenizer& tokenizer, const PrepareOptions& options, const Target& target)
      : tokenizer_(tokenizer), options_(options), target_(target) {
    if (options.end) end_ = EndToken(tokenizer);
  }

  Result<TokenisedDocument> Run(const RawDocument& document) const {
    FULMEN_ASSIGN(const ParsedDocument parsed, ParseDocument(document, options_.documents));
    TokenisedDocument result;
    if (parsed.pieces.empty()) return result;
    result.chat = parsed.chat;
    for (const PromptPiece& piece : parsed.pieces) {
      result.bytes += static_cast<int64_t>(piece.text.size());
    }
    FULMEN_ASSIGN(result.pixels, ReadImages(parsed));
    result.held_out = IsHeldOut(parsed.pieces, result.pixels, options_.held_out);
    result.tokens = EncodeWithLossMask(tokenizer_, parsed.pieces);
    if (end_ && !parsed.chat) {
      result.tokens.ids.push_back(*end_);
      result.tokens.loss_mask.push_back(1);
    }
    for (const int32_t id : result.tokens.ids) {
      if (id < target_.vocabulary) continue;
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: the tokenizer makes id {}, beyond the model's vocabulary of {}",
                  document.Where(), id, target_.vocabulary);
    }
    if (target_.vision) {
      FULMEN_ASSIGN(result.images, ExpandImages(result.pixels, target_.vision->image_token,
                                                document.Where(), result.tokens));
    }
    return result;
  }

 private:
  Result<std::vector<TiledImage>> ReadImages(const ParsedDocument& parsed) const {
    std::vector<TiledImage> images;
    if (!parsed.images.empty() && !target_.vision) return NoImages(parsed);
    for (const ImageSource& source : parsed.images) {
      FULMEN_ASSIGN(images.emplace_back(), ReadImage(source, target_.vision->tiles));
    }
    return images;
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  const Target& target_;
  std::optional<int32_t> end_;
};

Result<ShardWriter> CreateWriter(const std::string& folder, const PrepareOptions& options,
                                 const Tokenizer& tokenizer, const Target& target) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, error.message());
  return ShardWriter(folder, options.shard_tokens, target.vocabulary,
                     TokenizerFingerprint(tokenizer),
                     target.vision ? target.vision->tiles : TileRules());
}

// Refuses what nothing could be trained on, or tested with.
Status CheckReport(const PrepareOptions& options, const PrepareReport& report) {
  const int64_t documents =
      report.train.documents + (report.held_out ? report.held_out->documents : int64_t{0});
  if (documents == 0) return Fail(ErrorCode::kInvalidArgument, "the input has no text");
  if (report.held_out && report.held_out->documents == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "nothing is held out: at a share of {} none of the {} documents was; --held-out "
                "wants a larger share{}",
                options.held_out, documents,
                report.text_documents > 0
                    ? ", or text files cut into more documents (--documents, --document-separator)"
                    : "");
  }
  if (report.train.documents == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "nothing is left to train on: at a share of {} all {} documents are held out",
                options.held_out, documents);
  }
  if (report.train.loss_tokens == 0) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "no token counts in the loss: only completions and what assistants say is, and there "
        "is none");
  }
  return {};
}

// `states_chat`: the chat format is written down even where there is no chat.
Result<PrepareReport> WriteShards(const PrepareOptions& options, bool states_chat,
                                  const std::string& folder, const Tokenizer& tokenizer,
                                  const Target& target, ThreadPool& pool,
                                  const Progress& progress) {
  const bool split = options.held_out > 0;
  std::vector<ShardWriter> writers;
  for (const char* part : {"/train", "/held-out"}) {
    if (!split && !writers.empty()) break;
    FULMEN_ASSIGN(ShardWriter writer,
                  CreateWriter(split ? folder + part : folder, options, tokenizer, target));
    writers.push_back(std::move(writer));
  }
  PrepareReport report;
  bool chats = states_chat;
  const Tokeniser tokeniser(tokenizer, options, target);
  const auto write_batch = [&](std::span<const RawDocument> raw) -> Status {
    std::vector<TokenisedDocument> documents(raw.size());
    const auto tokenise = [&](size_t i, size_t) -> Status {
      FULMEN_ASSIGN(documents[i], tokeniser.Run(raw[i]));
      return {};
    };
    FULMEN_TRY(TryInParallel(pool, raw.size(), tokenise));
    for (size_t i = 0; i < raw.size(); ++i) {
      const TokenisedDocument& document = documents[i];
      report.text_bytes += document.bytes;
      report.text_documents += raw[i].line == 0 ? 1 : 0;
      chats = chats || document.chat;
      if (document.tokens.ids.empty()) {
        ++report.empty_documents;
        continue;
      }
      ShardWriter& writer = writers[document.held_out ? 1 : 0];
      FULMEN_TRY(writer.Add({document.tokens.ids, document.tokens.loss_mask, document.images}));
    }
    return {};
  };
  const auto write_batches = [&](std::span<const RawDocument> raw) -> Status {
    // Pixels are many times as large as their line of JSON.
    const size_t most = target.vision ? kImageDocuments : raw.size();
    for (; !raw.empty(); raw = raw.subspan(std::min(most, raw.size()))) {
      FULMEN_TRY(write_batch(raw.first(std::min(most, raw.size()))));
    }
    return {};
  };
  FULMEN_TRY(ForEachBatch(options, progress, write_batches));
  for (ShardWriter& writer : writers) {
    FULMEN_TRY(writer.Finish(chats ? options.documents.chat : std::nullopt));
  }
  report.train = writers[0].info();
  if (split) report.held_out = writers[1].info();
  FULMEN_TRY(CheckReport(options, report));
  return report;
}

Result<Target> TargetOf(const PrepareOptions& options, const ModelFiles& files,
                        const Tokenizer& tokenizer) {
  if (options.geometry) return Target{options.geometry->vocab_size, options.geometry->vision};
  if (!files.has_config()) return Target{tokenizer.vocab_size()};
  FULMEN_ASSIGN(const Config config, ReadConfig(files));
  return Target{config.vocab_size, config.vision};
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
  if (!(options.held_out >= 0 && options.held_out < 1)) {
    return Fail(ErrorCode::kInvalidArgument, "a share of 0 to below 1 can be held out, found {}",
                options.held_out);
  }
  FULMEN_ASSIGN(PartialFolder folder, PartialFolder::Create(options.out));
  PrepareOptions detailed = options;
  const bool states_chat = options.documents.chat.has_value();
  if (options.train_vocabulary > 0) {
    detailed.model = folder.path();
    detailed.documents.chat = options.documents.chat.value_or(ChatFormat::kText01);
    FULMEN_TRY(TrainTokenizer(detailed, states_chat, folder.path(), pool, progress));
  }
  FULMEN_ASSIGN(const ModelFiles files, ModelFiles::Open(detailed.model));
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(files));
  if (!detailed.documents.chat) {
    // A template of another kind only matters if there are chats.
    detailed.documents.chat =
        DetectChatFormat(tokenizer.chat_template()).value_or(std::optional<ChatFormat>());
  }
  FULMEN_ASSIGN(const Target target, TargetOf(detailed, files, tokenizer));
  FULMEN_ASSIGN(const PrepareReport report, WriteShards(detailed, states_chat, folder.path(),
                                                        tokenizer, target, pool, progress));
  FULMEN_TRY(folder.Commit());
  return report;
}

}  // namespace fulmen
