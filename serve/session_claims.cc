#include "serve/session_claims.h"

#include "base/clock.h"
#include "serve/recorded_answer.h"

namespace fulmen {
namespace {

// A session's own system text stands before all its turns.
Json AddedBy(const Generation& generation) {
  Json added = Json::array();
  const auto* chat = std::get_if<ChatPrompt>(&generation.prompt);
  if (chat == nullptr) return added;
  for (const Json& message : chat->messages) {
    if (added.empty() && Member(message, "role") == "system") continue;
    added.push_back(message);
  }
  return added;
}

}  // namespace

SessionClaims::Claim::~Claim() {
  for (const auto& session : held_) claims_.held_.erase(session);
}

ApiResult<SessionClaims::Claim> SessionClaims::Make(Exchange& exchange,
                                                    const std::vector<Generation>& generations) {
  const Caller& caller = exchange.request().caller;
  const RecordedAnswer* record = exchange.record();
  Claim claim(*this);
  for (const Generation& each : generations) {
    if (each.session.empty()) continue;
    const std::pair key(caller.space, each.session);
    if (held_.contains(key)) {
      return ApiFail(ApiErrorKind::kConflict, "session",
                     "session \"{}\" is answering another request", each.session);
    }
    held_[key] = {.idempotency_key = record == nullptr ? "" : record->name().name,
                  .owner = caller.owner(),
                  .started = SecondsNow(),
                  .messages = std::make_shared<const Json>(AddedBy(each))};
    claim.held_.push_back(key);
  }
  return claim;
}

std::map<std::string, TurnUnderWay> SessionClaims::Of(const Caller& caller) const {
  std::map<std::string, TurnUnderWay> under_way;
  for (auto each = held_.lower_bound({caller.space, ""});
       each != held_.end() && each->first.first == caller.space; ++each) {
    TurnUnderWay turn = each->second;
    if (turn.owner != caller.owner()) turn.idempotency_key.clear();
    under_way.emplace(each->first.second, std::move(turn));
  }
  return under_way;
}

}  // namespace fulmen
