// The order in which documents are trained on: a weighted mixture of datasets, packed into batches.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/training.h"
#include "model/vision_config.h"
#include "train/dataset.h"

namespace fulmen {

struct MixtureSource {
  const Dataset* dataset = nullptr;  // not owned; neither moves nor ends before the stream
  double weight = 1;                 // share of tokens, relative to the other sources
};

struct BatchStreamOptions {
  int64_t batch_tokens = 8192;  // of one batch: whole documents as long as they fit
  // Longer documents are cut into pieces of this many tokens, those with images left out.
  int64_t max_length = 2048;
  uint64_t seed = 0;
  Normalisation normalisation = ClipNormalisation();  // of the pixels of images
};

// An endless, deterministic sequence of batches. Each source is read in an order of its own,
// shuffled anew for every pass over it, and the next document comes from the source whose share is
// furthest behind.
// Nothing is padded: a batch holds whole documents until the next would not fit. A piece of a cut
// document stands alone, as a document does, and the first token of either is no target. What
// has no token in the loss is left out. Every rank runs the same stream and takes its own
// batches of it, so the data of a step do not depend on the number of ranks. Not thread safe.
// Movable.
class BatchStream {
 public:
  // Fails when a source has no document with something to learn, when the sources come from
  // different tokenizers, and unless 2 <= max_length <= batch_tokens and every weight is positive.
  static Result<BatchStream> Create(std::vector<MixtureSource> sources,
                                    const BatchStreamOptions& options);

  PackedBatch Next();
  // Passes over a batch without building it.
  void Skip();

  // Documents with images that are too long, over all sources.
  int64_t left_out() const { return left_out_; }

  // Where the stream stands, and back there, to go on exactly. Restore fails when the state is not
  // of these sources and this seed, and leaves the stream as it was.
  Json State() const;
  Status Restore(const Json& state);
  // Reads on where a stream of the same sources and seed stopped, as the next stage of training
  // does: with lengths and weights of its own, and what was drawn before counts towards no share.
  Status Follow(const Json& state);

 private:
  // Where a source stands: at `offset` of the `index`-th document of its `epoch`-th pass.
  struct Cursor {
    int64_t epoch = 0;
    int64_t index = 0;
    int64_t offset = 0;
    int64_t drawn = 0;  // tokens so far, of which the shares are made
  };
  struct Piece {
    Document document = {};  // or a part of it
    bool last = false;       // it ends the document
    bool left_out = false;
  };

  BatchStream(std::vector<MixtureSource> sources, const BatchStreamOptions& options)
      : sources_(std::move(sources)),
        options_(options),
        cursors_(sources_.size()),
        next_(sources_.size()) {}

  // The document the cursor is at: the order of a pass depends on seed, source and epoch.
  int64_t ShuffledIndex(size_t source, const Cursor& cursor) const;
  bool IsLeftOut(const Document& document) const {
    return !document.images.empty() && std::ssize(document.tokens) > options_.max_length;
  }
  // The piece at the source's cursor, whatever there is to learn from it.
  Piece PieceAt(size_t source) const;
  void PassOver(size_t source, const Piece& piece);
  // Moves the cursor on to a piece with something to learn; false when a whole pass found none.
  bool Settle(size_t source);
  // The next piece of the mixture if it fits beside `tokens` others; the stream then moves past it.
  std::optional<Document> Draw(int64_t tokens);
  void Append(const Document& piece, PackedBatch& batch) const;
  Result<Cursor> ReadCursor(size_t source, const Json& state) const;

  std::vector<MixtureSource> sources_;
  BatchStreamOptions options_;
  std::vector<Cursor> cursors_;
  std::vector<Piece> next_;  // the pieces the cursors are at
  int64_t batches_ = 0;
  int64_t left_out_ = 0;
};

}  // namespace fulmen
