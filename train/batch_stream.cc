#include "train/batch_stream.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "model/vision.h"
#include "train/permutation.h"

namespace fulmen {
namespace {

// Whether some token but the first counts in the loss.
bool TeachesSomething(const Document& piece) {
  if (piece.tokens.size() < 2) return false;
  return piece.loss_mask.empty() ||
         std::find(piece.loss_mask.begin() + 1, piece.loss_mask.end(), 1) != piece.loss_mask.end();
}

// `first`: the image's first row of the batch.
void AppendImage(const DocumentImage& image, const Normalisation& normalisation, int64_t first,
                 PackedImages& images) {
  const TileGeometry& plan = image.geometry;
  const int64_t rows = plan.patches_per_tile();
  const int64_t cols = 3 * plan.patch * plan.patch;
  const int64_t before = std::ssize(images.patches) / cols;  // rows of the images before it
  images.patches.resize(static_cast<size_t>((before + (1 + plan.tiles) * rows) * cols));
  const TiledImage pixels = TiledImageOf(image);
  for (int64_t tile = 0; tile <= plan.tiles; ++tile) {
    float* to = images.patches.data() + (before + tile * rows) * cols;
    WriteTilePatches(pixels, normalisation, tile, Matrix(to, rows, cols));
  }
  PackedImages::Span span = {.first = first,
                             .rows = std::vector<int64_t>(static_cast<size_t>(plan.tokens))};
  FeatureRows(plan, 0, span.rows);
  for (int64_t& row : span.rows) {
    if (row != kNewline) row += before;
  }
  images.spans.push_back(std::move(span));
}

// A whole number in [0, limit).
Result<int64_t> StateNumber(const Json& object, const char* key, int64_t limit) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  // Just made it is signed, out of a file unsigned; a number past 63 bits reads as negative.
  const bool whole = object.is_object() && found != object.end() && found->is_number_integer();
  if (!whole || found->get<int64_t>() < 0 || found->get<int64_t>() >= limit) {
    return Fail(ErrorCode::kCorrupt,
                "the state of the data does not fit: '{}' should be a whole number below {}", key,
                limit);
  }
  return found->get<int64_t>();
}

}  // namespace

Result<BatchStream> BatchStream::Create(std::vector<MixtureSource> sources,
                                        const BatchStreamOptions& options) {
  if (sources.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "at least one dataset is expected, found none");
  }
  if (options.max_length < 2 || options.max_length > options.batch_tokens) {
    return Fail(ErrorCode::kInvalidArgument,
                "documents should have from 2 tokens to the {} of a batch, found a largest length "
                "of {}",
                options.batch_tokens, options.max_length);
  }
  BatchStream stream(std::move(sources), options);
  for (size_t i = 0; i < stream.sources_.size(); ++i) {
    const MixtureSource& source = stream.sources_[i];
    if (!(source.weight > 0) || !std::isfinite(source.weight)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the weight of dataset {} should be a positive number, found {}", i,
                  source.weight);
    }
    if (source.dataset->tokenizer() != stream.sources_[0].dataset->tokenizer()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "datasets 0 and {} were made with different tokenizers ({} and {})", i,
                  stream.sources_[0].dataset->tokenizer(), source.dataset->tokenizer());
    }
    for (int64_t d = 0; source.dataset->images() > 0 && d < source.dataset->documents(); ++d) {
      if (stream.IsLeftOut(source.dataset->document(d))) ++stream.left_out_;
    }
    if (!stream.Settle(i)) {
      if (stream.left_out_ > 0) {
        return Fail(ErrorCode::kInvalidArgument,
                    "dataset {} has nothing to learn: {} documents with images are longer than "
                    "max_length {}, and images are not cut",
                    i, stream.left_out_, options.max_length);
      }
      return Fail(ErrorCode::kInvalidArgument,
                  "dataset {} has nothing to learn in its {} documents of {} tokens", i,
                  source.dataset->documents(), source.dataset->tokens());
    }
  }
  return stream;
}

int64_t BatchStream::ShuffledIndex(size_t source, const Cursor& cursor) const {
  const uint64_t key = MixSeed({options_.seed, source, static_cast<uint64_t>(cursor.epoch)});
  const auto documents = static_cast<uint64_t>(sources_[source].dataset->documents());
  return static_cast<int64_t>(PermutedIndex(static_cast<uint64_t>(cursor.index), documents, key));
}

BatchStream::Piece BatchStream::PieceAt(size_t source) const {
  const Dataset& dataset = *sources_[source].dataset;
  const Cursor& cursor = cursors_[source];
  Document document = dataset.document(ShuffledIndex(source, cursor));
  if (IsLeftOut(document)) return {document, /*last=*/true, /*left_out=*/true};
  const auto begin = static_cast<size_t>(cursor.offset);
  FULMEN_CHECK(begin < document.tokens.size(), "offset {} of {}", begin, document.tokens.size());
  const size_t left = document.tokens.size() - begin;
  const size_t length = std::min(left, static_cast<size_t>(options_.max_length));
  document.tokens = document.tokens.subspan(begin, length);
  if (!document.loss_mask.empty()) document.loss_mask = document.loss_mask.subspan(begin, length);
  return {document, length == left};
}

void BatchStream::PassOver(size_t source, const Piece& piece) {
  Cursor& cursor = cursors_[source];
  cursor.offset += static_cast<int64_t>(piece.document.tokens.size());
  if (!piece.last) return;
  cursor.offset = 0;
  if (++cursor.index < sources_[source].dataset->documents()) return;
  cursor.index = 0;
  ++cursor.epoch;
}

bool BatchStream::Settle(size_t source) {
  const int64_t documents = sources_[source].dataset->documents();
  if (documents == 0) return false;
  // One document more than a pass: the first may be half read.
  for (int64_t left = documents + 1; left > 0;) {
    const Piece piece = PieceAt(source);
    next_[source] = piece;
    if (!piece.left_out && TeachesSomething(piece.document)) return true;
    PassOver(source, piece);
    if (piece.last) --left;
  }
  return false;
}

std::optional<Document> BatchStream::Draw(int64_t tokens) {
  const auto share = [&](size_t source) {
    return static_cast<double>(cursors_[source].drawn) / sources_[source].weight;
  };
  size_t source = 0;
  for (size_t i = 1; i < sources_.size(); ++i) {
    if (share(i) < share(source)) source = i;
  }
  const Piece piece = next_[source];
  const auto length = static_cast<int64_t>(piece.document.tokens.size());
  if (tokens + length > options_.batch_tokens) return std::nullopt;
  cursors_[source].drawn += length;
  PassOver(source, piece);
  FULMEN_CHECK(Settle(source), "dataset {} has nothing to learn any more", source);
  return piece.document;
}

void BatchStream::Append(const Document& piece, PackedBatch& batch) const {
  const auto first = std::ssize(batch.targets);
  batch.Add(piece.tokens);
  for (size_t i = 1; i < piece.loss_mask.size(); ++i) {
    if (piece.loss_mask[i] == 0) batch.targets[static_cast<size_t>(first) + i - 1] = -1;
  }
  for (const DocumentImage& image : piece.images) {
    AppendImage(image, options_.normalisation, first + image.first, batch.images);
  }
}

PackedBatch BatchStream::Next() {
  PackedBatch batch;
  while (const auto piece = Draw(static_cast<int64_t>(batch.tokens.size()))) {
    Append(*piece, batch);
  }
  ++batches_;
  return batch;
}

void BatchStream::Skip() {
  int64_t tokens = 0;
  while (const auto piece = Draw(tokens)) tokens += static_cast<int64_t>(piece->tokens.size());
  ++batches_;
}

Json BatchStream::State() const {
  Json sources = Json::array();
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Cursor& cursor = cursors_[i];
    sources.push_back({{"documents", sources_[i].dataset->documents()},
                       {"tokens", sources_[i].dataset->tokens()},
                       {"epoch", cursor.epoch},
                       {"index", cursor.index},
                       {"offset", cursor.offset},
                       {"drawn", cursor.drawn}});
  }
  return {{"seed", options_.seed}, {"batches", batches_}, {"sources", sources}};
}

Result<BatchStream::Cursor> BatchStream::ReadCursor(size_t source, const Json& state) const {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  const Dataset& dataset = *sources_[source].dataset;
  FULMEN_ASSIGN(const int64_t documents, StateNumber(state, "documents", kAny));
  FULMEN_ASSIGN(const int64_t tokens, StateNumber(state, "tokens", kAny));
  if (documents != dataset.documents() || tokens != dataset.tokens()) {
    return Fail(ErrorCode::kInvalidArgument,
                "the state of the data is of {} documents of {} tokens, but dataset {} has {} of "
                "{}",
                documents, tokens, source, dataset.documents(), dataset.tokens());
  }
  Cursor cursor;
  FULMEN_ASSIGN(cursor.epoch, StateNumber(state, "epoch", kAny));
  FULMEN_ASSIGN(cursor.index, StateNumber(state, "index", documents));
  FULMEN_ASSIGN(cursor.drawn, StateNumber(state, "drawn", kAny));
  const Document document = dataset.document(ShuffledIndex(source, cursor));
  const int64_t length = document.images.empty() ? std::ssize(document.tokens) : 1;
  FULMEN_ASSIGN(cursor.offset, StateNumber(state, "offset", length));
  return cursor;
}

Status BatchStream::Restore(const Json& state) {
  FULMEN_ASSIGN(const int64_t batches,
                StateNumber(state, "batches", std::numeric_limits<int64_t>::max()));
  if (state.value("seed", Json()) != options_.seed) {
    return Fail(ErrorCode::kInvalidArgument,
                "the state of the data is of seed {}, this run has seed {}",
                state.value("seed", Json()).dump(), options_.seed);
  }
  const Json sources = state.value("sources", Json());
  if (!sources.is_array() || sources.size() != sources_.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                "the state of the data should be of {} datasets, found {}", sources_.size(),
                sources.size());
  }
  std::vector<Cursor> cursors;
  for (size_t i = 0; i < sources_.size(); ++i) {
    FULMEN_ASSIGN(const Cursor cursor, ReadCursor(i, sources[i]));
    cursors.push_back(cursor);
  }
  cursors_ = std::move(cursors);
  batches_ = batches;
  for (size_t i = 0; i < sources_.size(); ++i) {
    FULMEN_CHECK(Settle(i), "dataset {} has nothing to learn any more", i);
  }
  return {};
}

Status BatchStream::Follow(const Json& state) {
  FULMEN_TRY(Restore(state));
  for (Cursor& cursor : cursors_) cursor.drawn = 0;
  return {};
}

}  // namespace fulmen
