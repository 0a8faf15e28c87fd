// The named conversation of `fulmen run --session`.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "engine/saved_session.h"
#include "engine/session_store.h"
#include "tokenizer/chat.h"

namespace fulmen {

class SessionKeeper {
 public:
  // What a new session is begun with, and one that is there must agree with: it keeps its own
  // format and system text where none is asked for.
  struct Wanted {
    std::string name;
    std::string model;  // ModelIdentity
    std::optional<ChatFormat> format;
    bool format_asked = false;
    std::string system;
  };
  // Opens the store (see OpenSessions) and looks the name up.
  static Result<SessionKeeper> Open(const std::string& store, const Wanted& wanted);

  // With its turns so far; none where it is new.
  const SavedSession& session() const { return session_; }
  // Once this has returned without an error the turn is on the disk.
  Status Keep(const SavedTurn& turn);

 private:
  SessionKeeper(std::unique_ptr<SessionStore> store, SavedSession session, bool is_new)
      : store_(std::move(store)), session_(std::move(session)), is_new_(is_new) {}

  std::unique_ptr<SessionStore> store_;
  SavedSession session_;
  bool is_new_;
};

}  // namespace fulmen
