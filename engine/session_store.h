// Named conversations on the disk: agents' memory from one process to the next.
#pragma once

#include <SQLiteCpp/Database.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/saved_session.h"

namespace fulmen {

// A session without its turns.
struct SessionSummary {
  std::string space;
  std::string name;
  std::string model;
  std::optional<ChatFormat> format;
  std::string system;
  int64_t created = 0;  // seconds since 1970
  int64_t used = 0;
  std::optional<int64_t> expires;
  int64_t turns = 0;
  int64_t tokens = 0;    // of the sequence after the last turn
  bool damaged = false;  // then the rest may be wrong, and Remove is all that can be done with it
  Metadata metadata = {};
};

// A part of a list.
struct SessionPage {
  std::string after;  // the name of the one before its first; "": from the beginning
  int64_t limit = std::numeric_limits<int64_t>::max();
};

// A session that has a text, and where its first place is.
struct FoundSession {
  SessionSummary session;
  std::optional<int64_t> turn;  // from 0; nullopt: in metadata.title
  std::string excerpt;          // some 120 characters around it
};

// How many answers that belong to no session are remembered.
struct AnswerLimits {
  int64_t answers = 100'000;
  int64_t bytes = int64_t{256} << 20;  // of their ids, four each
};

// A store is a file, which several processes may have open. What a method that returned without an
// error has changed is on the disk, whatever comes after; a method that fails has changed nothing.
// A clock is never read: `now` is in seconds since 1970.
//
// Errors: kNotFound for a session that is not there, kConflict where another process was faster or
// a name is taken, kCorrupt for damage, kUnavailable when another process keeps the store locked,
// kIo for a full or failing disk. None leaves the store unusable.
//
// Thread safe: its methods take turns.
class SessionStore {
 public:
  // Makes the store, and folders above it, where there is none. What is not a session store is
  // refused and stays as it is.
  static Result<std::unique_ptr<SessionStore>> Open(const std::string& path,
                                                    const AnswerLimits& limits = {});
  ~SessionStore();
  SessionStore(const SessionStore&) = delete;
  SessionStore& operator=(const SessionStore&) = delete;

  // The whole session, or nothing where there is none.
  Result<std::optional<SavedSession>> Find(std::string_view space, std::string_view name);
  // Those of one namespace, or of all, the one used last first. kNotFound: page.after is not there.
  Result<std::vector<SessionSummary>> List(std::optional<std::string_view> space,
                                           const SessionPage& page = {});
  // Those of a namespace with `text` in metadata.title or in a message, whatever the case of its
  // letters. Others get their turns meanwhile.
  Result<std::vector<FoundSession>> Search(std::string_view space, std::string_view text,
                                           const SessionPage& page = {});

  // Stores a new session, with the turns it has; their addresses are not read.
  Status Create(const SavedSession& session);
  // Adds a turn to a session that has `turns` of them; kConflict when it has others by now. Gives
  // the address of its answer, which Recall knows while the session is there.
  Result<std::string> AppendTurn(std::string_view space, std::string_view name, int64_t turns,
                                 const SavedTurn& turn, int64_t now);
  // A copy that never expires and goes its own way: of all turns or of the first so many, with the
  // metadata of the original or with others.
  struct ForkOptions {
    std::optional<int64_t> turns = {};
    std::optional<Metadata> metadata = {};
  };
  Status Fork(std::string_view space, std::string_view from, std::string_view to, int64_t now,
              const ForkOptions& options);
  Status Fork(std::string_view space, std::string_view from, std::string_view to, int64_t now) {
    return Fork(space, from, to, now, {});
  }
  Status Rename(std::string_view space, std::string_view from, std::string_view to);
  Status Remove(std::string_view space, std::string_view name);
  // Sets these pairs of the metadata, and removes those without a value; all others stay.
  Status ChangeMetadata(std::string_view space, std::string_view name,
                        const std::map<std::string, std::optional<std::string>>& changes);
  // From when on RemoveExpired takes it; nullopt for never.
  Status SetExpiry(std::string_view space, std::string_view name, std::optional<int64_t> expires);
  // Removes sessions that expire at `now` or before, and tells how many.
  Result<int64_t> RemoveExpired(int64_t now);

  // Keeps the ids of an answer under its AnswerAddress, which is returned, until the limits are
  // reached and all others were used later. Or under a handle: a name that was given out before the
  // answer ended, and that nobody else has.
  Result<std::string> Remember(std::string_view space, std::string_view model,
                               std::span<const int32_t> ids, std::string_view handle = "");
  // The ids of an answer of this namespace and model, from Remember or from a session; nullopt
  // where neither has it, or not any more. What is returned is what was kept, to the id.
  Result<std::optional<std::vector<int32_t>>> Recall(std::string_view space, std::string_view model,
                                                     std::string_view address_or_handle);

 private:
  SessionStore(std::string path, std::unique_ptr<SQLite::Database> database,
               const AnswerLimits& limits);

  // Calls `body` alone, and turns what SQLite throws in it into an error.
  template <class Body>
  auto Guarded(Body body) -> decltype(body());

  const std::string path_;
  const AnswerLimits limits_;
  std::mutex mutex_;
  std::unique_ptr<SQLite::Database> database_;  // guarded by mutex_
  // Answers that were recalled, to be marked as used with the next one that is remembered: so
  // recalling never waits for the disk. Guarded by mutex_.
  std::set<int64_t> recalled_;
};

}  // namespace fulmen
