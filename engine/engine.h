// One engine for many: answers requests together, each as if it were alone.
//
// A step is three calls: schedule (who starts, how many tokens each reads), run (one pass over all
// of them), postprocess (logits to tokens, tokens to events). What was read is kept for requests
// that begin alike, in a prefix cache that shares the memory with the sequences under way and makes
// room for them.
//
// The answer to a request does not depend on what else the engine does, nor on what it keeps: a
// token's bits depend on the tokens before it alone (docs/architecture.md).
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/spilled_cache.h"
#include "engine/step_cost.h"
#include "kernels/compute.h"
#include "model/forward.h"
#include "model/state.h"
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

struct EngineOptions {
  SchedulerOptions scheduler;
  int64_t most_waiting = 1024;  // answers that wait to start
  StatePool::Options memory;    // of sequences and of what is kept of them
  bool keep = true;             // false: no prefix cache
  // Where what was read outlasts the memory and the engine (state_store.h); empty: nowhere.
  std::string spill_folder;
  int64_t spill_bytes = 0;        // of files, at most
  std::string model_identity;     // tells the model's weights from all others
  std::function<double()> clock;  // seconds from anywhere; empty: the steady clock
  // Sees the logits [vocab] of every token before it is sampled. Empty: nobody does.
  std::function<void(RequestId, int64_t choice, std::span<const float> logits)> on_logits;
};

struct EngineStats {
  int64_t waiting = 0;  // answers
  int64_t running = 0;
  int64_t steps = 0;
  int64_t read_tokens = 0;     // by the model, of prompts and answers
  int64_t suspensions = 0;     // for want of memory; nothing is lost but time
  int64_t layered_chunks = 0;  // of prompts, that were read by layers
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these, not read again
  int64_t output_tokens = 0;
  int64_t image_tiles = 0;             // that the vision tower has seen
  std::array<int64_t, 4> misses = {};  // lookups by MissCause
  int64_t snapshots = 0;
  int64_t evictions = 0;
  int64_t page_bytes = 0;  // in use
  int64_t state_bytes = 0;
  double stepped = 0;  // seconds of the clock: when the last step began
  StateStoreStats spill;
};

class Engine {
 public:
  // Model, tokenizer and what `compute` refers to must outlive the engine. `tokenizer` may be null:
  // then there is no text. CheckKvType must hold for the type of the memory.
  Engine(const Model& model, const Tokenizer* tokenizer, const Compute& compute,
         EngineOptions options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // From any thread. Errors in the request are told here; kNoRoom: too many wait already. What
  // follows comes as events, the last of them RequestDone.
  Result<RequestId> Submit(const Request& request, EventSink sink);
  // From any thread; the request ends with kCancelled before the next step, if it has not ended.
  void Cancel(RequestId id);
  // From any thread: the answers of a request with an allowance may sample `tokens` more. 0: no
  // more will come, so they end with kAllowance once they have used up what they have. Whoever
  // heard AllowanceLow has to call it, since deadlines are not seen while all that runs waits.
  void Allow(RequestId id, int64_t tokens);
  // From any thread, before a request with a grammar: what takes a moment at the first one only.
  // Submit() does it otherwise. Needs the tokenizer.
  void PrepareForGrammars();
  EngineStats stats() const;

  // One thread at a time. Step does one step; false when there was nothing to do. Run does steps
  // until Stop, and sleeps while there is nothing to do. Waiting for the disk is something to do.
  bool Step();
  void Run();
  void Stop();

  // Tokens of the longest sequence: the model's context, or what memory holds if that is less.
  int64_t max_position() const { return limits_.max_position; }
  // Why nothing is kept in the folder that was asked for. The engine answers without.
  const Status& spill_status() const { return spill_status_; }

 private:
  struct Ticket;
  struct Answer;
  struct Cut;
  struct Member;
  struct Batch;
  struct Layered;
  struct Grammars;
  struct Allowance;
  enum class Admission : uint8_t { kStarted, kLater, kNoRoom };
  using Pieces = std::vector<AnswerPiece>;

  // Schedule: admission.cc.
  void TakeInbox();
  void EndDue();
  void TakeAllowances(const std::vector<std::pair<RequestId, int64_t>>& allowed);
  void FinishAll(RequestId id, FinishReason reason);
  void Admit();
  Admission Start(Answer& answer);
  bool WaitsForDisk(Answer& answer, const PrefixMatch& match);
  bool WaitsStill(Answer& answer);
  bool WaitsForAnother(Answer& answer, int64_t position);
  static void AddCut(Answer& answer, Cut cut);
  void PlanCuts(Answer& answer, const PrefixMatch& match) const;
  bool MakeRoomToGrow(Answer& answer, int64_t tokens);
  bool SuspendFor(const Answer& answer);
  void Suspend(Answer& answer);
  // Images, between schedule and run: image_step.cc.
  void EncodeImages(const std::vector<Scheduler::Item>& items);
  int64_t Readable(const Answer& answer, int64_t tokens) const;
  void AddImages(const Member& member, int64_t first_row, ForwardBatch& forward) const;
  void ReleaseImages(Ticket& ticket);
  // Chunks of prompts that are read by layers, after the rest of a step: layered_step.cc.
  void ReadByLayers(const Scheduler::LayeredItem& item);
  bool BeginLayered(const Scheduler::LayeredItem& item);
  std::shared_ptr<Workspace> LayeredMemory();
  double RunLayer(Layered& layered, int64_t rows, Status& status);
  int64_t RowsIn(const Layered& layered, double seconds) const;
  int64_t ReadsTo(const Answer& answer) const;
  // Run and postprocess: step.cc.
  Batch MakeBatch(const std::vector<Scheduler::Item>& items);
  void AddSnapshots(Batch& batch, size_t index);
  void RunBatch(Batch& batch);
  void Postprocess(Batch& batch);
  std::vector<Sequence::Sampled> Sample(Batch& batch, std::span<const size_t> members);
  void KeepSnapshots(Batch& batch);
  void Insert(const Answer& answer, SequenceState state, SnapshotKind kind);
  void Deliver(Answer& answer, Sequence::Sampled token);
  Pieces Take(Answer& answer, Sequence::Sampled token);
  static void Emit(Answer& answer, const Pieces& pieces);
  void Finish(Answer& answer, FinishReason reason);
  void End(Answer& answer, const Pieces& last);
  void Keep(Answer& answer);
  void Publish();

  double Now() const { return options_.clock(); }

  const Model& model_;
  const Tokenizer* tokenizer_;
  Compute compute_;
  EngineOptions options_;
  StatePool pool_;
  PrefixCache cache_;
  std::unique_ptr<SpilledCache> spill_;  // null: nothing is kept on disk
  Status spill_status_;
  bool short_of_room_ = false;  // somebody cannot start; nothing more is pinned meanwhile
  std::vector<int32_t> forbidden_;
  SequenceLimits limits_;
  std::unique_ptr<Grammars> grammars_;
  Scheduler scheduler_;
  StepCost cost_;
  // Used again and again: glibc before 2.38 seldom finds that an aligned block fits where one was.
  std::vector<std::shared_ptr<Workspace>> layered_memory_;
  std::map<JobId, Layered> layered_;     // of whom a chunk is between two layers
  std::array<StepCost, 2> layer_costs_;  // of a layer by itself, by LayerKind
  std::map<JobId, std::unique_ptr<Answer>> answers_;
  JobId next_job_ = 1;
  std::vector<float> logits_;
  EngineStats counts_;  // of the engine's thread

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::unique_ptr<Answer>> inbox_;
  std::vector<RequestId> cancelled_;
  std::vector<std::pair<RequestId, int64_t>> allowed_;
  int64_t waiting_ = 0;  // answers in the inbox or not yet started
  RequestId next_request_ = 1;
  EngineStats published_;
  bool stopping_ = false;
};

}  // namespace fulmen
