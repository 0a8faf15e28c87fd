#include "engine/state_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPageTokens = StatePool::kPageTokens;
constexpr const char* kPageEnding = ".page";
constexpr const char* kStateEnding = ".state";

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// A page's own keys.
std::span<const PrefixKey> KeysOfPage(std::span<const PrefixKey> keys, size_t page) {
  return keys.subspan(page * static_cast<size_t>(kPageTokens), static_cast<size_t>(kPageTokens));
}

// Reads a section that should be `expected`.
Status ReadExpected(StateFileReader& reader, std::span<const std::byte> expected) {
  std::vector<std::byte> found(expected.size());
  FULMEN_TRY(reader.Read(found));
  if (std::ranges::equal(found, expected)) return {};
  return Fail(ErrorCode::kInvalidArgument, "the file is of another prefix");
}

// The next Open takes the times of files for those of their last use. The system would set them by
// a clock that stands still for some milliseconds.
void SetTimeOfUse(const std::string& path) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::array<timespec, 2> times = {now, now};
  utimensat(AT_FDCWD, path.c_str(), times.data(), 0);
}

Result<int> Lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return Fail(ErrorCode::kIo, "cannot open {}: {}", path, ErrnoMessage(errno));
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return file;
  const int error = errno;
  close(file);
  if (error == EWOULDBLOCK) {
    return Fail(ErrorCode::kConflict, "{}: another process keeps its states there", folder);
  }
  return Fail(ErrorCode::kIo, "cannot lock {}: {}", path, ErrnoMessage(error));
}

}  // namespace

std::string StateIdentity::Text() const {
  // The model comes last, so that nothing in its name passes for what follows.
  return fmt::format("kernels {}; kv {}; page {} bytes, {} tokens; slot {} bytes; model {}",
                     kernels, DTypeName(kv_type), page_bytes, kPageTokens, slot_bytes, model);
}

StateBytes::StateBytes(const SequenceState& state)
    : position(state.position()),
      slot(state.slot_data()),
      pages(state.pages().begin(), state.pages().end()) {}

// The names of all files that a state needs.
struct StateStore::Chain {
  PrefixHash state;
  PrefixHash begin;               // of the space alone
  std::vector<PrefixHash> pages;  // at the end of each whole one
  int64_t position;
};

// A state's file, as ReadFolder comes upon it.
struct StateStore::Found {
  State state;
  fs::file_time_type used;
};

Result<std::unique_ptr<StateStore>> StateStore::Open(const std::string& folder,
                                                     const StateIdentity& identity,
                                                     int64_t most_bytes) {
  const std::string own = folder + "/" + Hex(Sha256(identity.Text())).substr(0, 32);
  std::error_code error;
  for (const std::string& each : {folder, own}) {
    const bool made = fs::create_directories(each, error);
    if (error) return Fail(ErrorCode::kIo, "cannot make {}: {}", each, error.message());
    if (made) fs::permissions(each, fs::perms::owner_all, error);
  }
  FULMEN_ASSIGN(const int lock, Lock(own));
  std::unique_ptr<StateStore> store(new StateStore(own, identity, most_bytes, lock));
  FULMEN_TRY(store->ReadFolder());
  return store;
}

StateStore::~StateStore() { close(lock_); }

std::string StateStore::PathOf(const PrefixHash& hash, const char* ending) const {
  return folder_ + "/" + HexName(hash) + ending;
}

// Takes one file of ours into account, or removes it.
void StateStore::ReadEntry(const fs::directory_entry& entry, std::vector<Found>& found) {
  const std::string name = entry.path().filename().string();
  const auto hash = PrefixHashFromHex(std::string_view(name).substr(0, 32));
  if (!hash) return;  // not ours
  const std::string_view ending = std::string_view(name).substr(32);
  std::error_code error;
  const auto bytes = static_cast<int64_t>(entry.file_size(error));
  if (!error && ending == kPageEnding && bytes > 0) {
    pages_[*hash].bytes = bytes;
    stats_.bytes += bytes;
    return;
  }
  if (ending == kStateEnding) {
    const auto file = StateFileReader::Open(entry.path().string());
    if (file && file->header().kind == StateFileHeader::Kind::kState &&
        file->header().identity == text_ && file->header().hash == *hash) {
      const StateFileHeader& header = file->header();
      found.push_back({.state = {*hash, header.position, bytes, header.pages},
                       .used = entry.last_write_time(error)});
      return;
    }
    Count(file ? ErrorCode::kInvalidArgument : file.error().code);
  }
  // Or it has another name of ours: a file that never got its final one.
  fs::remove(entry.path(), error);
}

Status StateStore::ReadFolder() {
  const std::lock_guard lock(mutex_);
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    ReadEntry(*entry, found);
  }
  if (error) return Fail(ErrorCode::kIo, "cannot read {}: {}", folder_, error.message());
  std::ranges::sort(found, {}, &Found::used);
  for (Found& each : found) Adopt(std::move(each));
  // Nobody needs what is left: its state was not written any more, or is gone.
  std::vector<PrefixHash> orphans;
  for (auto& [hash, page] : pages_) {
    if (page.states > 0) continue;
    page.states = 1;
    orphans.push_back(hash);
  }
  Release(orphans);
  MakeRoom(0);
  return {};
}

// With mutex_ locked.
void StateStore::Adopt(Found found) {
  const auto whole = identity_.page_bytes == 0 ? 0 : found.state.position / kPageTokens;
  const bool complete = std::ssize(found.state.pages) == whole &&
                        std::ranges::all_of(found.state.pages, [&](const PrefixHash& page) {
                          return pages_.contains(page);
                        });
  if (!complete) {
    Count(ErrorCode::kNotFound);
    unlink(PathOf(found.state.hash, kStateEnding).c_str());
    return;
  }
  for (const PrefixHash& page : found.state.pages) ++pages_[page].states;
  Insert(std::move(found.state));
}

StateStore::Chain StateStore::ChainOf(const std::string& space,
                                      std::span<const PrefixKey> keys) const {
  PrefixHasher hasher(space);
  Chain chain{.state = {}, .begin = hasher.hash(), .pages = {}, .position = std::ssize(keys)};
  for (size_t i = 0; i < keys.size(); ++i) {
    hasher.Add(keys[i]);
    const bool page_ends = (i + 1) % static_cast<size_t>(kPageTokens) == 0;
    if (page_ends && identity_.page_bytes > 0) chain.pages.push_back(hasher.hash());
  }
  chain.state = hasher.hash();
  return chain;
}

// Of one of the pages, or of the state where `page` is their number.
StateFileHeader StateStore::HeaderOf(const Chain& chain, size_t page,
                                     const std::string& space) const {
  StateFileHeader header;
  header.identity = text_;
  header.space_bytes = std::ssize(space);
  if (page == chain.pages.size()) {
    header.kind = StateFileHeader::Kind::kState;
    header.hash = chain.state;
    header.before = chain.begin;
    header.position = chain.position;
    header.pages = chain.pages;
  } else {
    header.kind = StateFileHeader::Kind::kPage;
    header.hash = chain.pages[page];
    header.before = page == 0 ? chain.begin : chain.pages[page - 1];
    header.position = static_cast<int64_t>(page + 1) * kPageTokens;
  }
  return header;
}

int64_t StateStore::Find(const std::string& space, std::span<const PrefixKey> keys,
                         int64_t most) const {
  const std::lock_guard lock(mutex_);
  PrefixHasher hasher(space);
  int64_t read = 0;
  int64_t found = 0;
  most = std::min(most, std::ssize(keys));
  for (const auto& [position, states] : positions_) {
    if (position > most) break;
    while (read < position) hasher.Add(keys[static_cast<size_t>(read++)]);
    if (by_hash_.contains(hasher.hash())) found = position;
  }
  return found;
}

Status StateStore::Write(const std::string& space, std::span<const PrefixKey> keys,
                         const StateBytes& state) {
  FULMEN_CHECK(state.position == std::ssize(keys) && !keys.empty(), "a state at {} after {} keys",
               state.position, keys.size());
  const Chain chain = ChainOf(space, keys);
  const StateFileHeader header = HeaderOf(chain, chain.pages.size(), space);
  std::vector<std::span<const std::byte>> sections = {Bytes(space), std::as_bytes(keys),
                                                      state.slot};
  if (state.pages.size() > chain.pages.size()) {
    sections.emplace_back(state.pages.back(), static_cast<size_t>(identity_.page_bytes));
  }
  std::vector<int64_t> sizes;
  for (const auto& section : sections) sizes.push_back(std::ssize(section));
  int64_t missing = MostFileBytes(header, sizes);
  int64_t held = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const auto there = by_hash_.find(chain.state); there != by_hash_.end()) {
      Use(there->second);
      return {};
    }
    const std::array<int64_t, 3> page_sizes = {
        std::ssize(space), kPageTokens * static_cast<int64_t>(sizeof(PrefixKey)),
        identity_.page_bytes};
    for (size_t i = 0; i < chain.pages.size(); ++i) {
      const auto page = pages_.find(chain.pages[i]);
      if (page != pages_.end()) held += page->second.bytes;
      if (page == pages_.end()) missing += MostFileBytes(HeaderOf(chain, i, space), page_sizes);
      ++pages_[chain.pages[i]].states;  // so that it stays when room is made
    }
    if (held + missing > most_bytes_ || !MakeRoom(missing)) {
      ++stats_.refused;
      Release(chain.pages);
      return Fail(ErrorCode::kNoRoom, "{}: {} bytes are more than the {} there are for states",
                  folder_, held + missing, most_bytes_);
    }
  }
  Status status = WritePages(chain, space, keys, state);
  Result<int64_t> bytes = 0;
  if (status) {
    bytes = WriteStateFile(PathOf(chain.state, kStateEnding), header, sections);
    if (!bytes) status = tl::unexpected(bytes.error());
  }
  const std::lock_guard lock(mutex_);
  if (!status) {
    ++stats_.refused;
    unlink(PathOf(chain.state, kStateEnding).c_str());
    Release(chain.pages);
    return status;
  }
  ++stats_.written;
  SetTimeOfUse(PathOf(chain.state, kStateEnding));
  Insert({chain.state, chain.position, *bytes, chain.pages});
  return {};
}

Status StateStore::WritePages(const Chain& chain, const std::string& space,
                              std::span<const PrefixKey> keys, const StateBytes& state) {
  for (size_t i = 0; i < chain.pages.size(); ++i) {
    // Only this thread changes it, so it reads without the lock.
    if (pages_.at(chain.pages[i]).bytes > 0) continue;
    const std::array<std::span<const std::byte>, 3> sections = {
        Bytes(space), std::as_bytes(KeysOfPage(keys, i)),
        std::span<const std::byte>(state.pages[i], static_cast<size_t>(identity_.page_bytes))};
    FULMEN_ASSIGN(const int64_t bytes, WriteStateFile(PathOf(chain.pages[i], kPageEnding),
                                                      HeaderOf(chain, i, space), sections));
    const std::lock_guard lock(mutex_);
    pages_[chain.pages[i]].bytes = bytes;
    stats_.bytes += bytes;
  }
  return {};
}

Status StateStore::Load(const std::string& space, std::span<const PrefixKey> keys,
                        const StateBytes& into, int64_t shared_pages) {
  FULMEN_CHECK(into.position == std::ssize(keys), "a state at {} for {} keys", into.position,
               keys.size());
  const Chain chain = ChainOf(space, keys);
  const auto found = by_hash_.find(chain.state);
  if (found == by_hash_.end()) {
    return Fail(ErrorCode::kNotFound, "no state of these {} keys is stored", keys.size());
  }
  if (Status status = LoadState(chain, space, keys, into); !status) {
    const std::lock_guard lock(mutex_);
    Count(status.error().code);
    Remove(found->second);
    return status;
  }
  for (size_t i = 0; i < chain.pages.size(); ++i) {
    std::byte* const page = static_cast<int64_t>(i) < shared_pages ? nullptr : into.pages[i];
    if (Status status = LoadPage(chain, i, space, keys, page); !status) {
      const std::lock_guard lock(mutex_);
      Count(status.error().code);
      RemoveAllThatNeed(chain.pages[i]);
      return status;
    }
  }
  const std::lock_guard lock(mutex_);
  Use(found->second);
  ++stats_.loaded;
  return {};
}

// The file, once it is sure to be the one that is meant, up to its keys.
Result<StateFileReader> StateStore::OpenToLoad(const std::string& path,
                                               const StateFileHeader& expected,
                                               const std::string& space,
                                               std::span<const PrefixKey> keys) {
  FULMEN_ASSIGN(StateFileReader file, StateFileReader::Open(path));
  if (file.header() != expected) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the file is of another model or prefix", path);
  }
  FULMEN_TRY(ReadExpected(file, Bytes(space)));
  FULMEN_TRY(ReadExpected(file, std::as_bytes(keys)));
  return file;
}

Status StateStore::LoadState(const Chain& chain, const std::string& space,
                             std::span<const PrefixKey> keys, const StateBytes& into) {
  FULMEN_ASSIGN(StateFileReader file,
                OpenToLoad(PathOf(chain.state, kStateEnding),
                           HeaderOf(chain, chain.pages.size(), space), space, keys));
  FULMEN_TRY(file.Read(into.slot));
  if (into.pages.size() > chain.pages.size()) {
    FULMEN_TRY(file.Read({into.pages.back(), static_cast<size_t>(identity_.page_bytes)}));
  }
  return file.ExpectEnd();
}

// Without `into` the page is in memory already. That its file has the keys is looked at all the
// same: a page stands for all before it, and those who share it must have read the same.
Status StateStore::LoadPage(const Chain& chain, size_t page, const std::string& space,
                            std::span<const PrefixKey> keys, std::byte* into) {
  FULMEN_ASSIGN(StateFileReader file,
                OpenToLoad(PathOf(chain.pages[page], kPageEnding), HeaderOf(chain, page, space),
                           space, KeysOfPage(keys, page)));
  if (into == nullptr) return {};
  FULMEN_TRY(file.Read({into, static_cast<size_t>(identity_.page_bytes)}));
  return file.ExpectEnd();
}

StateStoreStats StateStore::stats() const {
  const std::lock_guard lock(mutex_);
  StateStoreStats stats = stats_;
  stats.states = std::ssize(states_);
  stats.pages = std::ssize(pages_);
  return stats;
}

void StateStore::Insert(State state) {
  stats_.bytes += state.bytes;
  ++positions_[state.position];
  states_.push_back(std::move(state));
  by_hash_[states_.back().hash] = std::prev(states_.end());
}

void StateStore::Use(States::iterator state) {
  states_.splice(states_.end(), states_, state);
  SetTimeOfUse(PathOf(state->hash, kStateEnding));
}

// Removes states, but not what is being written, until there is so much room.
bool StateStore::MakeRoom(int64_t bytes) {
  while (stats_.bytes > most_bytes_ - bytes && !states_.empty()) {
    ++stats_.evicted;
    Remove(states_.begin());
  }
  return stats_.bytes <= most_bytes_ - bytes;
}

void StateStore::Release(std::span<const PrefixHash> pages) {
  for (const PrefixHash& hash : pages) {
    const auto page = pages_.find(hash);
    if (--page->second.states > 0) continue;
    unlink(PathOf(hash, kPageEnding).c_str());
    stats_.bytes -= page->second.bytes;
    pages_.erase(page);
  }
}

// The state goes before its pages, so that none is ever without them.
void StateStore::Remove(States::iterator state) {
  unlink(PathOf(state->hash, kStateEnding).c_str());
  stats_.bytes -= state->bytes;
  const auto at = positions_.find(state->position);
  if (--at->second == 0) positions_.erase(at);
  by_hash_.erase(state->hash);
  Release(state->pages);
  states_.erase(state);
}

void StateStore::RemoveAllThatNeed(const PrefixHash& page) {
  for (auto state = states_.begin(); state != states_.end();) {
    const auto next = std::next(state);
    if (std::ranges::find(state->pages, page) != state->pages.end()) Remove(state);
    state = next;
  }
}

void StateStore::Count(ErrorCode code) {
  if (code == ErrorCode::kCorrupt) {
    ++stats_.damaged;
  } else if (code == ErrorCode::kInvalidArgument) {
    ++stats_.foreign;
  } else {
    ++stats_.unreadable;
  }
}

}  // namespace fulmen
