// What the sampler asks while an answer is held to a grammar: which tokens may come next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/token_trie.h"

namespace fulmen {

// Where one text stands in its grammar. A copy goes on from the same place; it shares what was
// found out about the grammar with the original, so that copies are cheap and all of them together
// belong to one thread at a time.
class Matcher {
 public:
  Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> tokens);

  // The tokens that may come next, one bit for each id, lowest first: those whose bytes can go on
  // to some whole text. At least one is, unless the text must end. Fails if it takes too much
  // memory to find out. Valid until the next call of anything of this matcher or its copies.
  Result<std::span<const uint64_t>> Mask();
  // Goes on by the bytes of a token, or by some bytes. What may not come is an error and changes
  // nothing.
  Status Accept(int32_t token);
  Status AcceptText(std::string_view bytes);

  // Whether the text may end here, and whether it must.
  bool CanEnd() const;
  bool MustEnd();
  // The bytes that must come next, whatever the choice of tokens, `most` at most; "" where there is
  // a choice, to end included.
  std::string Forced(size_t most);
  // Bytes with which the text would be whole. An error if they are more than a megabyte, or take
  // too long to find.
  Result<std::string> WayToEnd();

 private:
  struct Shared;

  void Begin();
  // Leaves states that have grown too many behind, for ones made anew.
  void MoveOn();

  std::shared_ptr<Shared> shared_;
  Machine::State state_;
};

}  // namespace fulmen
