// Responses of OpenAI's Responses API on the disk, to be read again and gone on from.
#pragma once

#include <SQLiteCpp/Database.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

struct ResponseLimits {
  int64_t responses = 100'000;
  int64_t bytes = int64_t{1} << 30;  // of responses and their input as JSON
};

struct StoredResponse {
  std::string id;
  Json response;         // as it was answered
  Json input;            // items that were new in its request
  std::string previous;  // the response that it goes on from; "" for none
  int64_t created = 0;   // seconds since 1970
};

// A store is a file that one process has open. What a method that returned without an error has
// changed is on the disk, whatever comes after; a method that fails has changed nothing. What
// belongs to one space is not there for another.
//
// Errors: kCorrupt for damage, kUnavailable where another process has the store, kIo for a full or
// failing disk. None leaves the store unusable.
//
// Thread safe: its methods take turns. They wait for the disk.
class ResponseStore {
 public:
  // Makes the store, and folders above it, where there is none. What is no response store is
  // refused and stays as it is.
  static Result<std::unique_ptr<ResponseStore>> Open(const std::string& path,
                                                     const ResponseLimits& limits = {});
  ~ResponseStore();
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;

  // Its id must be new to the space (kConflict). Where there are more than the limits allow, those
  // stored first go; one that is too large by itself is not stored (kNoRoom).
  Status Put(std::string_view space, const StoredResponse& stored);

  // Nullopt for what is not there, or not any more.
  Result<std::optional<StoredResponse>> Get(std::string_view space, std::string_view id);
  // An item of a response's output, by its own id.
  Result<std::optional<Json>> Item(std::string_view space, std::string_view id);
  // All items up to the end of the response, from its first ancestor on: of each the input, then
  // the output. kNotFound when an ancestor had to make room for others.
  Result<std::optional<Json>> Conversation(std::string_view space, std::string_view id);

  // From now on it is not there. Responses that go on from it stay whole, so it leaves the disk
  // with the last of them. False where there was none.
  Result<bool> Delete(std::string_view space, std::string_view id);

 private:
  ResponseStore(std::string path, std::unique_ptr<SQLite::Database> database,
                const ResponseLimits& limits);

  // Calls `body` alone, and turns what SQLite throws in it into an error.
  template <class Body>
  auto Guarded(Body body) -> decltype(body());

  const std::string path_;
  const ResponseLimits limits_;
  std::mutex mutex_;
  std::unique_ptr<SQLite::Database> database_;  // guarded by mutex_
};

}  // namespace fulmen
