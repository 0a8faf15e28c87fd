// An answer that is held to a grammar: which tokens may come next, and which must.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/call_reader.h"
#include "grammar/matcher.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// All constraints that were made of one matcher belong to one thread at a time. Movable.
class Constraint {
 public:
  // The special token that opens a block of calls (CallFormat) is one more way to write its string.
  // The tokenizer must outlive the constraint.
  Constraint(const Matcher& matcher, const Tokenizer& tokenizer, CallFormat calls);

  // The tokens of a vocabulary of `vocab_size` that may come next, one bit for each id, lowest
  // first. `stops` end the answer, and may come where it may end and nowhere else; with `late` only
  // if nothing else may. None at all: the answer must end. Stays valid until the next call.
  Result<std::span<const uint64_t>> Mask(int64_t vocab_size, std::span<const int32_t> forbidden,
                                         std::span<const int32_t> stops, bool late);
  // Goes on by a token, which may be any; one that may not come is an error.
  Status Accept(int32_t token);
  bool CanEnd() const { return matcher_.CanEnd(); }
  bool MustEnd() { return matcher_.MustEnd(); }

  // The tokens that come next whatever the model says: those that spell the text that must come, as
  // the tokenizer splits it. What that depends on text that is not known yet is left out, so that
  // whoever samples these tokens one by one from a model that writes as its tokenizer does gets no
  // other ones.
  std::vector<int32_t> Forced() const;

 private:
  struct Marker {
    int32_t id;
    std::string_view text;
  };

  void ForgetSettled();

  Matcher matcher_;
  const Tokenizer* tokenizer_;
  std::optional<Marker> marker_;
  std::vector<uint64_t> mask_;
  // The end of the answer, from a place where the tokenizer splits any text that begins like it.
  std::string tail_;
  std::vector<int32_t> tail_ids_;
  bool known_ = true;  // false: it grew too long, and no such place is known any more
};

}  // namespace fulmen
