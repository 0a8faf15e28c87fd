#include "engine/saved_session.h"

#include <algorithm>

#include "base/printable.h"
#include "base/utf8.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

constexpr size_t kLongestName = 200;  // bytes
// Of messages: what is written as JSON, in a file or in a store, can be read again.
constexpr int kDeepest = 190;
constexpr size_t kMostPairs = 16;  // of metadata
constexpr size_t kLongestPairName = 64;
constexpr size_t kLongestPairValue = 512;
constexpr size_t kLargestInfo = 16 << 10;  // bytes of JSON

bool AllPrints(std::string_view text) { return Printable(text) == text; }

bool NestsDeeperThan(const Json& json, int levels) {
  return json.is_structured() && (levels == 0 || std::ranges::any_of(json, [&](const Json& each) {
                                    return NestsDeeperThan(each, levels - 1);
                                  }));
}

Status CheckMessages(const Json& messages) {
  if (!messages.is_array() || messages.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "messages should be a list of at least one, found {}",
                Shown(messages));
  }
  for (const Json& message : messages) {
    if (Member(message, "role").is_string()) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "each of messages should be an object with a role, found {}", Shown(message));
  }
  if (!NestsDeeperThan(messages, kDeepest)) return {};
  return Fail(ErrorCode::kInvalidArgument, "messages should nest at most {} levels deep", kDeepest);
}

Status CheckInfo(const Json& info) {
  if (info.is_null()) return {};
  if (info.is_object() && !NestsDeeperThan(info, kDeepest) &&
      DumpJson(info).size() <= kLargestInfo) {
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument, "info should be an object of at most {} bytes, found {}",
              kLargestInfo, Shown(info));
}

// Of code points.
size_t Length(std::string_view utf8) {
  return static_cast<size_t>(
      std::ranges::count_if(utf8, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

}  // namespace

std::vector<int32_t> SavedSession::Ids() const {
  std::vector<int32_t> all;
  for (const SavedTurn& turn : turns) {
    all.resize(static_cast<size_t>(turn.kept));
    all.insert(all.end(), turn.ids.begin(), turn.ids.end());
  }
  return all;
}

Json SavedSession::Messages() const {
  Json all = Json::array();
  for (const SavedTurn& turn : turns) {
    all.insert(all.end(), turn.messages.begin(), turn.messages.end());
  }
  return all;
}

Status CheckSessionName(std::string_view name) {
  if (!name.empty() && name.size() <= kLongestName && AllPrints(name) &&
      name.find('/') == std::string_view::npos) {
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "a session's name should be 1 to {} bytes of printable UTF-8 without \"/\", found "
              "\"{}\"",
              kLongestName, Printable(name, kLongestName));
}

Status CheckSessionSpace(std::string_view space) {
  if (space.size() <= kLongestName && AllPrints(space)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "a namespace should be at most {} bytes of printable UTF-8, found \"{}\"",
              kLongestName, Printable(space, kLongestName));
}

Status CheckMetadata(const Metadata& metadata) {
  if (metadata.size() > kMostPairs) {
    return Fail(ErrorCode::kInvalidArgument, "metadata should have at most {} pairs, found {}",
                kMostPairs, metadata.size());
  }
  for (const auto& [name, value] : metadata) {
    if (name.empty() || Length(name) > kLongestPairName || !AllPrints(name)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "a name in metadata should be 1 to {} characters that print, found \"{}\"",
                  kLongestPairName, Printable(name, kLongestName));
    }
    if (Length(value) > kLongestPairValue || !IsUtf8(value)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "metadata.{} should be at most {} characters of UTF-8, found {}", name,
                  kLongestPairValue, IsUtf8(value) ? std::to_string(Length(value)) : "other bytes");
    }
  }
  return {};
}

Status CheckTurn(const SavedTurn& turn, int64_t tokens) {
  FULMEN_TRY(CheckMessages(turn.messages));
  FULMEN_TRY(CheckInfo(turn.info));
  if (turn.kept < 0 || turn.kept > tokens) {
    return Fail(ErrorCode::kInvalidArgument,
                "kept should be a whole number from 0 to the {} tokens before it, found {}", tokens,
                turn.kept);
  }
  if (const auto negative = std::ranges::find_if(turn.ids, [](int32_t id) { return id < 0; });
      negative != turn.ids.end()) {
    return Fail(ErrorCode::kInvalidArgument, "ids should be at least 0, found {}", *negative);
  }
  const int64_t end = turn.kept + std::ssize(turn.ids);
  if (turn.answer < turn.kept || turn.answer > end) {
    return Fail(ErrorCode::kInvalidArgument,
                "answer should be a whole number from {} to {}, found {}", turn.kept, end,
                turn.answer);
  }
  return {};
}

Status CheckSession(const SavedSession& session) {
  FULMEN_TRY(CheckSessionName(session.name));
  FULMEN_TRY(CheckSessionSpace(session.space));
  if (session.model.empty() || session.model.size() > kLongestName || !AllPrints(session.model)) {
    return Fail(ErrorCode::kInvalidArgument,
                "model should be 1 to {} bytes of printable UTF-8, found \"{}\"", kLongestName,
                Printable(session.model, kLongestName));
  }
  FULMEN_TRY(CheckMetadata(session.metadata));
  int64_t tokens = 0;
  for (size_t i = 0; i < session.turns.size(); ++i) {
    const SavedTurn& turn = session.turns[i];
    if (const Status status = CheckTurn(turn, tokens); !status) {
      return Fail(status.error().code, "turn {}: {}", i + 1, status.error().message);
    }
    tokens = turn.kept + std::ssize(turn.ids);
  }
  return {};
}

std::string AnswerAddress(std::string_view space, std::string_view model,
                          std::span<const int32_t> ids) {
  return "ft_" +
         Base64Url(DigestFields("fulmen answer 1").Text(space).Text(model).Ids(ids).Digest());
}

}  // namespace fulmen
