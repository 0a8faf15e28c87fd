#include "grammar/matcher.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/printable.h"
#include "grammar/reach.h"

namespace fulmen {
namespace {

// States and masks beyond these are forgotten. A mask takes 25 KB with 200,000 tokens.
constexpr size_t kMostMachineBytes = size_t{48} << 20;
constexpr size_t kMostMasks = 256;
// What one question may take: some tenths of a second, hundreds of times what schemas in use do.
constexpr int64_t kMostWork = 4'000'000;

tl::unexpected<Error> TooLong() {
  return Fail(
      ErrorCode::kUnsupported,
      "which tokens may come next takes too long to find out: the grammar has too many ways "
      "to read the text so far");
}

}  // namespace

// What copies of a matcher have in common.
struct Matcher::Shared {
  Shared(std::shared_ptr<const Grammar> of, std::shared_ptr<const TokenTrie> over)
      : grammar(std::move(of)), tokens(std::move(over)), machine(grammar) {
    for (const TokenTrie::Slice& slice : tokens->slices()) {
      reaches.emplace_back(machine.terms(), slice.characters);
    }
    path.resize(tokens->longest_token() + 1);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  const TokenMask& MaskOf(Machine::State state);
  void AddSlice(Machine::State state, size_t index, TokenMask& mask);
  void AddByWalking(Machine::State state, const TokenTrie::Slice& slice, TokenMask& mask);

  std::shared_ptr<const Grammar> grammar;
  std::shared_ptr<const TokenTrie> tokens;
  Machine machine;
  std::vector<Reach> reaches;  // one for each slice
  std::unordered_map<Machine::State, TokenMask> masks;
  std::vector<Machine::State> path;   // of a walk, by depth
  std::shared_ptr<Shared> successor;  // where all matchers go once this has grown too large
};

void Matcher::Shared::AddByWalking(Machine::State state, const TokenTrie::Slice& slice,
                                   TokenMask& mask) {
  path[0] = state;
  const size_t count = slice.nodes.size();
  for (size_t at = 0; at < count;) {
    const TokenTrie::Node& node = slice.nodes[at];
    const Machine::State next = machine.Next(path[node.depth - 1], node.byte);
    if (next == Machine::kDead) {
      at = node.end;
      continue;
    }
    path[node.depth] = next;
    if (node.token >= 0) {
      for (const int32_t id : slice.tokens[node.token]) {
        mask[id / 64] |= uint64_t{1} << (id % 64);
      }
    }
    ++at;
  }
}

void Matcher::Shared::AddSlice(Machine::State state, size_t index, TokenMask& mask) {
  const TokenTrie::Slice& slice = tokens->slices()[index];
  if (slice.up_to.empty()) return AddByWalking(state, slice, mask);
  Reach::Span span{0, true};
  for (const Machine::Thread& thread : machine.ThreadsOf(state)) {
    span = span | reaches[index].Of(thread.term);
  }
  const auto longest = static_cast<int64_t>(slice.up_to.size()) - 1;
  if (span.all > 0) {
    const TokenMask& sure = slice.up_to[std::min(span.all, longest)];
    for (size_t word = 0; word < mask.size(); ++word) mask[word] |= sure[word];
  }
  if (span.all >= longest || span.none) return;
  AddByWalking(state, slice, mask);
}

const TokenMask& Matcher::Shared::MaskOf(Machine::State state) {
  if (masks.size() > kMostMasks) masks.clear();
  const auto [at, is_new] = masks.try_emplace(state);
  if (is_new) {
    at->second.resize(tokens->mask_words());
    for (size_t slice = 0; slice < tokens->slices().size(); ++slice) {
      AddSlice(state, slice, at->second);
    }
  }
  return at->second;
}

Matcher::Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> tokens)
    : shared_(std::make_shared<Shared>(std::move(grammar), std::move(tokens))),
      state_(shared_->machine.start()) {}

void Matcher::MoveOn() {
  if (shared_->successor == nullptr || shared_->successor->machine.exhausted()) {
    shared_->successor = std::make_shared<Shared>(shared_->grammar, shared_->tokens);
  }
  const std::shared_ptr<Shared> next = shared_->successor;
  next->machine.terms().Allow(kMostWork);
  const Machine::State state = shared_->machine.CopyTo(next->machine, state_);
  if (state == Machine::kDead) return;  // the place itself takes too much
  state_ = state;
  shared_ = next;
}

// Before states are made.
void Matcher::Begin() {
  if (shared_->machine.MemoryBytes() > kMostMachineBytes || shared_->machine.exhausted()) MoveOn();
  shared_->machine.terms().Allow(kMostWork);
}

Result<std::span<const uint64_t>> Matcher::Mask() {
  Begin();
  const TokenMask* mask = &shared_->MaskOf(state_);
  if (shared_->machine.exhausted()) {
    MoveOn();
    mask = &shared_->MaskOf(state_);
  }
  if (shared_->machine.exhausted()) return TooLong();
  return std::span<const uint64_t>(*mask);
}

Status Matcher::AcceptText(std::string_view bytes) {
  Begin();
  const auto go = [&](size_t& at) {
    Machine::State state = state_;
    for (at = 0; at < bytes.size() && state != Machine::kDead; ++at) {
      state = shared_->machine.Next(state, static_cast<uint8_t>(bytes[at]));
    }
    return state;
  };
  size_t read = 0;
  Machine::State state = go(read);
  if (state == Machine::kDead && shared_->machine.exhausted()) {
    MoveOn();
    state = go(read);
  }
  if (state == Machine::kDead && shared_->machine.exhausted()) return TooLong();
  if (state == Machine::kDead) {
    return Fail(ErrorCode::kInvalidArgument, "the grammar does not allow \"{}\" here",
                Printable(bytes.substr(std::max<size_t>(read, 1) - 1), 80));
  }
  state_ = state;
  return {};
}

Status Matcher::Accept(int32_t token) {
  const std::string_view bytes = shared_->tokens->BytesOf(token);
  if (bytes.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "token {} stands for no text, which a grammar needs",
                token);
  }
  return AcceptText(bytes);
}

bool Matcher::CanEnd() const { return shared_->machine.Accepts(state_); }

bool Matcher::MustEnd() { return CanEnd() && shared_->machine.ThreadsOf(state_).empty(); }

std::string Matcher::Forced(size_t most) {
  Begin();
  std::string forced;
  for (Machine::State state = state_; forced.size() < most;) {
    if (shared_->machine.Accepts(state)) break;
    const ByteSet live = shared_->machine.LiveBytes(state);
    if (live.Count() != 1 || shared_->machine.exhausted()) break;
    forced.push_back(static_cast<char>(live.First()));
    state = shared_->machine.Next(state, live.First());
  }
  return forced;
}

Result<std::string> Matcher::WayToEnd() {
  Begin();
  return shared_->machine.WayToEnd(state_);
}

}  // namespace fulmen
