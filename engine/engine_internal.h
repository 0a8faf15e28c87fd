// What the parts of the engine share. Internal to engine/.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"
#include "model/layered_forward.h"
#include "model/vision.h"

namespace fulmen {

// What the answers of a request may still sample.
struct Engine::Allowance {
  int64_t left;
  int64_t given = left;  // when some was given last
  int64_t all = left;    // from the first token on
  int64_t planned = 0;   // of `left`, by answers in this step's batch
  bool told = false;     // that it is low
  bool is_last = false;

  bool MayPlan() const { return left > planned; }
};

// A request while any of its answers is under way.
struct Engine::Ticket {
  RequestId id;
  EventSink sink;
  std::string space;
  double deadline;
  std::vector<int64_t> borders;
  std::vector<PromptImage> images;
  // What the tower made of each: from its first tile on, until all answers have read it.
  std::vector<std::unique_ptr<ImageFeatures>> features;
  int64_t answers;  // that have not ended
  std::optional<Allowance> allowance;
  Usage usage;
  Status status;
  // Seconds of the clock: submitted, first admitted, first token, last token.
  double submitted;
  std::optional<double> admitted;
  std::optional<double> first_token;
  double last_token = 0;
};

// Where a snapshot is to be taken.
struct Engine::Cut {
  int64_t position;
  SnapshotKind kind;
};

// One answer to a request. It waits, or has a state and runs.
struct Engine::Answer {
  JobId id;
  std::shared_ptr<Ticket> ticket;
  int64_t choice;
  std::string key;
  int priority;
  Sequence sequence;
  std::shared_ptr<const Grammar> grammar = {};
  std::optional<SequenceState> state = {};
  std::vector<Cut> cuts = {};  // ahead, in rising order
  int64_t kept = 0;            // position of the last snapshot on the way here
  // Another one is reading what this one begins with, and will leave a snapshot there.
  struct Other {
    JobId id;
    int64_t position;
  };
  std::optional<Other> behind = {};
  bool started = false;  // at least once
  bool asked_disk = false;
  std::optional<SpilledCache::Id> loading = {};  // what it begins with

  void Tell(const Event& event) const { ticket->sink(ticket->id, event); }
};

// What answers that are held to grammars share.
struct Engine::Grammars {
  // Of any thread: sorts the tokens, at the first request that has a grammar.
  void SortTokens(const Tokenizer& tokenizer) {
    std::call_once(sorted, [&] { tokens = TokenTrie::Build(tokenizer); });
  }
  // Of the engine's thread: a matcher at the beginning. Requests that come with one grammar share
  // what was found out about it.
  Matcher Begin(const std::shared_ptr<const Grammar>& grammar);

  std::once_flag sorted;
  std::shared_ptr<const TokenTrie> tokens;
  std::deque<std::pair<std::shared_ptr<const Grammar>, Matcher>> recent;  // the latest first
};

struct Engine::Member {
  Answer* answer;
  int64_t tokens;
  bool wants_logits;
};

struct Engine::Batch {
  struct Snapshot {
    size_t member;
    SnapshotKind kind;
    SequenceState state;
  };
  std::vector<Member> members;
  int64_t waiting = 0;  // for an allowance, so they are no members
  std::vector<Snapshot> snapshots;
  StepWork work;
  std::vector<Status> statuses;
};

// A part of a prompt on its way through the layers.
struct Engine::Layered {
  Batch batch;  // of one member
  // What its sequence has read before, for whoever ends it or takes its memory meanwhile. None
  // where there is no room, or nothing is kept.
  std::optional<SequenceState> before = {};
  std::shared_ptr<Workspace> memory = {};  // of the pass
  std::optional<LayeredForward> pass = {};

  const Answer& answer() const { return *batch.members.front().answer; }
  // Of so many of its next rows in one layer. Lightning attention does not look back.
  StepWork Work(int64_t rows) const {
    StepWork work;
    work.Add(rows, answer().sequence.position() + pass->row());
    if (pass->kind() == LayerKind::kLightning) work.keys = 0;
    return work;
  }
};

}  // namespace fulmen
