#include "model/state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

int64_t LightningLayerBytes(const Config& config) {
  return LightningMemorySize(config.heads, config.head_dim) * static_cast<int64_t>(sizeof(float));
}

}  // namespace

StatePool::StatePool(const Config& config) : StatePool(config, Options()) {}

StatePool::StatePool(const Config& config, Options options)
    : format_{options.kv_type, config.kv_heads, config.head_dim},
      lightning_size_(LightningMemorySize(config.heads, config.head_dim)),
      options_(options),
      pages_{.name = "pages", .most_bytes = options.most_page_bytes},
      slots_{.name = "states", .most_bytes = options.most_slot_bytes} {
  for (const LayerKind kind : config.layers) {
    const bool softmax = kind == LayerKind::kSoftmax;
    Units& units = softmax ? pages_ : slots_;
    layer_offset_.push_back(units.bytes);
    units.bytes += softmax ? static_cast<int64_t>(format_.BytesOfTokens(kPageTokens))
                           : LightningLayerBytes(config);
  }
}

Result<SequenceState> StatePool::Create() {
  FULMEN_ASSIGN(const Handle slot, Take(slots_));
  return SequenceState(*this, slot);
}

Result<SequenceState> StatePool::CreateAt(int64_t position, const SequenceState* beginning) {
  FULMEN_ASSIGN(SequenceState state, Create());
  if (beginning != nullptr && pages_.bytes > 0) {
    FULMEN_CHECK(beginning->position() <= position, "a state at {} does not begin one at {}",
                 beginning->position(), position);
    state.SharePages(*beginning, beginning->position() / kPageTokens);
  }
  FULMEN_TRY(state.Reserve(position));
  state.position_ = position;
  return state;
}

Result<StatePool::Handle> StatePool::Take(Units& units) {
  if (units.bytes > units.most_bytes - units.used_bytes) {
    return Fail(ErrorCode::kNoRoom,
                "the memory for {} of sequences is full: {} of {} bytes are in use, {} more are "
                "wanted",
                units.name, units.used_bytes, units.most_bytes, units.bytes);
  }
  if (units.free.empty()) {
    Unit unit;
    unit.data.resize(static_cast<size_t>(units.bytes));
    units.free.push_back(std::ssize(units.all));
    units.all.push_back(std::move(unit));
  }
  const int64_t index = units.free.back();
  units.free.pop_back();
  Unit& unit = units.all[static_cast<size_t>(index)];
  unit.sharers = 1;
  units.used_bytes += units.bytes;
  return Handle{index, ++unit.generation};
}

void StatePool::GiveBack(Units& units, Handle handle) const {
  Unit& unit = At(units, handle);
  if (--unit.sharers > 0) return;
  // NaN in every float type.
  if (options_.poison) std::ranges::fill(unit.data, std::byte{0xff});
  units.free.push_back(handle.unit);
  units.used_bytes -= units.bytes;
}

int64_t StatePool::PagesOf(int64_t tokens) const {
  return pages_.bytes == 0 ? 0 : (tokens + kPageTokens - 1) / kPageTokens;
}

StatePool::Unit& StatePool::At(Units& units, Handle handle) {
  Unit& unit = units.all.at(static_cast<size_t>(handle.unit));
  FULMEN_CHECK(unit.sharers > 0 && unit.generation == handle.generation,
               "unit {} was given back: use {} of {}", handle.unit, handle.generation,
               unit.generation);
  return unit;
}

SequenceState::SequenceState(SequenceState&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      slot_(other.slot_),
      pages_(std::move(other.pages_)),
      page_data_(std::move(other.page_data_)),
      position_(other.position_) {}

SequenceState& SequenceState::operator=(SequenceState&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  pool_ = std::exchange(other.pool_, nullptr);
  slot_ = other.slot_;
  pages_ = std::move(other.pages_);
  page_data_ = std::move(other.page_data_);
  position_ = other.position_;
  return *this;
}

SequenceState::~SequenceState() { GiveBack(); }

void SequenceState::GiveBack() {
  if (pool_ == nullptr) return;
  pool_->GiveBack(pool_->slots_, slot_);
  for (const StatePool::Handle page : pages_) pool_->GiveBack(pool_->pages_, page);
  pool_ = nullptr;
}

int64_t SequenceState::PagesFor(int64_t tokens) const {
  return std::max<int64_t>(0, pool_->PagesOf(position_ + tokens) - std::ssize(pages_));
}

Status SequenceState::Reserve(int64_t tokens) {
  const size_t before = pages_.size();
  for (int64_t left = PagesFor(tokens); left > 0; --left) {
    const Result<StatePool::Handle> page = pool_->Take(pool_->pages_);
    if (!page) {
      KeepPages(before);
      return tl::unexpected<Error>(page.error());
    }
    pages_.push_back(*page);
    page_data_.push_back(StatePool::At(pool_->pages_, *page).data.data());
  }
  return {};
}

void SequenceState::Trim() { KeepPages(static_cast<size_t>(pool_->PagesOf(position_))); }

void SequenceState::KeepPages(size_t count) {
  for (; pages_.size() > count; pages_.pop_back()) pool_->GiveBack(pool_->pages_, pages_.back());
  page_data_.resize(pages_.size());
}

Result<SequenceState> SequenceState::Fork() const {
  FULMEN_ASSIGN(SequenceState fork, ForkAt(position_));
  if (position_ == 0) return fork;  // nothing was read, and memory holds anything
  std::ranges::copy(slot().data, fork.slot().data.begin());
  CopyLastPage(fork);
  return fork;
}

Result<SequenceState> SequenceState::ForkAt(int64_t position) const {
  FULMEN_CHECK(position >= position_ && pool_->PagesOf(position) <= std::ssize(pages_),
               "a fork at {} of a sequence at {} with {} pages", position, position_,
               pages_.size());
  FULMEN_ASSIGN(SequenceState fork, pool_->Create());
  const int64_t whole = pool_->pages_.bytes == 0 ? 0 : position / StatePool::kPageTokens;
  fork.SharePages(*this, whole);
  FULMEN_TRY(fork.Reserve(position));
  fork.position_ = position;
  return fork;
}

void SequenceState::SharePages(const SequenceState& other, int64_t count) {
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    pool_->Share(pool_->pages_, other.pages_[i]);
    pages_.push_back(other.pages_[i]);
    page_data_.push_back(other.page_data_[i]);
  }
}

void SequenceState::CopyLastPage(const SequenceState& fork) const {
  if (fork.pages_.empty() || fork.position_ % StatePool::kPageTokens == 0) return;
  std::copy_n(page_data_[fork.pages_.size() - 1], pool_->pages_.bytes, fork.page_data_.back());
}

SequenceState::PageUse SequenceState::page_use(size_t index) const {
  const StatePool::Handle page = pages_[index];
  return {page.unit, StatePool::At(pool_->pages_, page).sharers};
}

KvCache SequenceState::Cache(int64_t layer) const {
  return {.pages = {},
          .page_tokens = StatePool::kPageTokens,
          .offset = static_cast<size_t>(pool_->layer_offset_[static_cast<size_t>(layer)]),
          .format = pool_->format_};
}

std::span<float> SequenceState::lightning(int64_t layer) const {
  std::byte* data = slot().data.data() + pool_->layer_offset_[static_cast<size_t>(layer)];
  return {reinterpret_cast<float*>(data), static_cast<size_t>(pool_->lightning_size_)};
}

StatePool::Options DivideMemory(const Config& config, DType kv_type, int64_t bytes) {
  const StatePool pool(config, {.kv_type = kv_type});
  const int64_t context = pool.PagesOf(config.max_position) * pool.page_bytes();
  const int64_t few_states = 8 * pool.slot_bytes();
  int64_t pages = 0;
  if (pool.slot_bytes() == 0) {
    pages = bytes;
  } else if (pool.page_bytes() > 0) {
    pages = std::max(bytes / 2, std::min(context, bytes - few_states));
  }
  return {.most_page_bytes = std::max(pages, pool.page_bytes()),
          .most_slot_bytes = std::max(bytes - pages, pool.slot_bytes()),
          .kv_type = kv_type};
}

int64_t KvBytesPerToken(const Config& config, DType kv_type) {
  const auto softmax_layers =
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  const KvFormat format = {kv_type, config.kv_heads, config.head_dim};
  return softmax_layers * static_cast<int64_t>(format.BytesOfTokens(kKvTile)) / kKvTile;
}

int64_t LightningMemoryBytes(const Config& config) {
  const auto lightning_layers =
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kLightning);
  return lightning_layers * LightningLayerBytes(config);
}

}  // namespace fulmen
