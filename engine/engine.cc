#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "engine/engine_internal.h"
#include "engine/generate.h"

namespace fulmen {
namespace {

EngineOptions WithClock(EngineOptions options) {
  if (!options.clock) options.clock = SteadySeconds;
  return options;
}

}  // namespace

Engine::Engine(const Model& model, const Tokenizer* tokenizer, const Compute& compute,
               EngineOptions options)
    : model_(model),
      tokenizer_(tokenizer),
      compute_(compute),
      options_(WithClock(std::move(options))),
      pool_(model.config, options_.memory),
      cache_(pool_),
      forbidden_(ForbiddenTokens(model, tokenizer)),
      limits_{model.config.vocab_size, model.config.max_position, forbidden_},
      grammars_(std::make_unique<Grammars>()),
      scheduler_(options_.scheduler) {
  if (model.config.vision) limits_.image_token = model.config.vision->image_token;
  if (pool_.page_bytes() > 0) {
    const int64_t pages = options_.memory.most_page_bytes / pool_.page_bytes();
    if (pages < pool_.PagesOf(limits_.max_position)) {
      limits_.max_position = pages * StatePool::kPageTokens;
    }
  }
  if (options_.keep && !options_.spill_folder.empty()) {
    auto spill = SpilledCache::Open(
        options_.spill_folder, options_.spill_bytes,
        {.model = options_.model_identity,
         .kernels = fmt::format("{}, rounding {}", compute_.kernels.name, kRoundings),
         .kv_type = options_.memory.kv_type,
         .page_bytes = pool_.page_bytes(),
         .slot_bytes = pool_.slot_bytes()},
        pool_, cache_);
    if (spill) {
      spill_ = *std::move(spill);
    } else {
      spill_status_ = tl::unexpected(std::move(spill).error());
    }
  }
}

Engine::~Engine() = default;

Result<RequestId> Engine::Submit(const Request& request, EventSink sink) {
  if (std::ssize(request.prompt) > limits_.max_position &&
      limits_.max_position < model_.config.max_position) {
    return Fail(ErrorCode::kInvalidArgument,
                "the prompt has {} tokens, but the memory for keys and values holds {}",
                request.prompt.size(), limits_.max_position);
  }
  if (request.choices < 1) {
    return Fail(ErrorCode::kInvalidArgument, "choices must be at least 1, not {}", request.choices);
  }
  auto ticket = std::make_shared<Ticket>();
  ticket->sink = std::move(sink);
  ticket->space = request.space;
  ticket->deadline = request.deadline;
  ticket->borders = request.borders;
  ticket->images = request.images;
  ticket->features.resize(request.images.size());
  ticket->answers = request.choices;
  if (request.allowance) ticket->allowance = Allowance{.left = *request.allowance};
  ticket->usage.prompt_tokens = std::ssize(request.prompt);
  ticket->submitted = Now();
  std::vector<std::unique_ptr<Answer>> answers;
  for (int64_t choice = 0; choice < request.choices; ++choice) {
    FULMEN_ASSIGN(Sequence sequence, Sequence::Create(request, choice, limits_, tokenizer_));
    answers.push_back(std::make_unique<Answer>(Answer{
        0, ticket, choice, request.key, request.priority, std::move(sequence), request.grammar}));
  }
  if (request.grammar != nullptr) PrepareForGrammars();
  const std::lock_guard lock(mutex_);
  if (waiting_ + request.choices > options_.most_waiting) {
    return Fail(ErrorCode::kNoRoom, "{} answers wait already, and {} may", waiting_,
                options_.most_waiting);
  }
  ticket->id = next_request_++;
  waiting_ += request.choices;
  std::ranges::move(answers, std::back_inserter(inbox_));
  arrived_.notify_one();
  return ticket->id;
}

void Engine::PrepareForGrammars() { grammars_->SortTokens(*tokenizer_); }

void Engine::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  arrived_.notify_one();
}

void Engine::Allow(RequestId id, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  allowed_.emplace_back(id, tokens);
  arrived_.notify_one();
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

void Engine::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  arrived_.notify_one();
}

void Engine::Run() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    if (Step()) continue;
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] {
      return stopping_ || !inbox_.empty() || !cancelled_.empty() || !allowed_.empty();
    });
  }
}

bool Engine::Step() {
  counts_.stepped = Now();
  TakeInbox();
  EndDue();
  if (spill_) spill_->Collect();
  Admit();
  if (spill_ && !short_of_room_) spill_->StartNextWrite();
  std::set<JobId> open;
  for (const auto& [id, layered] : layered_) open.insert(id);
  const Scheduler::StepPlan plan = scheduler_.Plan(cost_, open);
  const std::vector<Scheduler::Item>& items = plan.items;
  if (items.empty() && plan.layered.empty()) {
    // What comes meanwhile waits no longer than this.
    constexpr double kDiskSeconds = 0.01;
    const bool more = spill_ && spill_->has_work();
    if (more) spill_->Wait(kDiskSeconds);
    Publish();
    return more;
  }
  EncodeImages(items);
  Batch batch = MakeBatch(items);
  if (!batch.members.empty()) {
    RunBatch(batch);
    Postprocess(batch);
  }
  for (const Scheduler::LayeredItem& item : plan.layered) ReadByLayers(item);
  Publish();
  // Where all of them wait, there is nothing to do until one is allowed more.
  return !plan.layered.empty() || batch.waiting < std::ssize(items);
}

Matcher Engine::Grammars::Begin(const std::shared_ptr<const Grammar>& grammar) {
  constexpr size_t kMostRecent = 8;  // each may hold tens of MB
  const auto found =
      std::ranges::find(recent, grammar, [](const auto& each) { return each.first; });
  if (found != recent.end()) {
    std::rotate(recent.begin(), found, found + 1);
  } else {
    recent.emplace_front(grammar, Matcher(grammar, tokens));
    if (recent.size() > kMostRecent) recent.pop_back();
  }
  return recent.front().second;
}

void Engine::Publish() {
  counts_.running = scheduler_.running();
  counts_.snapshots = cache_.snapshots();
  counts_.evictions = cache_.evictions();
  counts_.page_bytes = pool_.used_page_bytes();
  counts_.state_bytes = pool_.used_slot_bytes();
  if (spill_) counts_.spill = spill_->stats();
  const std::lock_guard lock(mutex_);
  waiting_ = std::ssize(inbox_) + scheduler_.waiting();
  counts_.waiting = waiting_;
  published_ = counts_;
}

}  // namespace fulmen
