#include "cli/session_keeper.h"

#include <utility>

#include "base/clock.h"
#include "base/printable.h"
#include "cli/saved_sessions.h"

namespace fulmen {
namespace {

std::string FormatName(std::optional<ChatFormat> format) {
  return format ? "the chat format " + std::string(ChatFormatName(*format)) : "no chat format";
}

Status CheckAgrees(const SavedSession& session, const SessionKeeper::Wanted& wanted) {
  const std::string name = Printable(session.name);
  if (session.model != wanted.model) {
    return Fail(ErrorCode::kInvalidArgument,
                "session \"{}\" was held with another model; name that one with -m, or begin a "
                "session under another name",
                name);
  }
  if (wanted.format_asked && session.format != wanted.format) {
    return Fail(ErrorCode::kInvalidArgument, "session \"{}\" has {}, so it cannot go on with {}",
                name, FormatName(session.format), FormatName(wanted.format));
  }
  if (!wanted.system.empty() && session.system != wanted.system) {
    return Fail(ErrorCode::kInvalidArgument,
                "session \"{}\" began with another system text, so --system cannot change it",
                name);
  }
  return {};
}

}  // namespace

Result<SessionKeeper> SessionKeeper::Open(const std::string& store, const Wanted& wanted) {
  FULMEN_TRY(CheckSessionName(wanted.name));
  FULMEN_ASSIGN(std::unique_ptr<SessionStore> opened, OpenSessions(store));
  FULMEN_ASSIGN(std::optional<SavedSession> found, opened->Find("", wanted.name));
  if (found) {
    FULMEN_TRY(CheckAgrees(*found, wanted));
    return SessionKeeper(std::move(opened), *std::move(found), /*is_new=*/false);
  }
  SavedSession session;
  session.name = wanted.name;
  session.model = wanted.model;
  session.format = wanted.format;
  session.system = wanted.system;
  return SessionKeeper(std::move(opened), std::move(session), /*is_new=*/true);
}

Status SessionKeeper::Keep(const SavedTurn& turn) {
  const int64_t now = SecondsNow();
  const int64_t turns = std::ssize(session_.turns);
  session_.turns.push_back(turn);
  if (std::exchange(is_new_, false)) {
    session_.created = session_.used = now;
    return store_->Create(session_);
  }
  const Result<std::string> address =
      store_->AppendTurn(session_.space, session_.name, turns, turn, now);
  if (!address) return tl::unexpected<Error>(address.error());
  return {};
}

}  // namespace fulmen
