// A server's answer, whichever API it comes through, whole or as a stream.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "call/api.h"
#include "call/call_error.h"
#include "call/think_splitter.h"

namespace fulmen {

struct ReplyCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON, as the model wrote it
};

struct ReplyUsage {
  std::optional<int64_t> prompt = {};  // tokens, those read from a cache included
  std::optional<int64_t> cached = {};
  std::optional<int64_t> output = {};
  std::optional<int64_t> reasoning = {};  // of the output
  std::optional<double> cost = {};        // as the server tells it
  std::string currency = {};              // of the cost; "" where it names none
};

struct Reply {
  enum class End : uint8_t { kNone, kStop, kLength, kCalls, kOther };
  std::string text = {};
  std::string reasoning = {};
  std::string signature = {};  // of the reasoning, to be sent back with it
  std::vector<ReplyCall> calls = {};
  ReplyUsage usage = {};
  End end = End::kNone;
  std::string end_word = {};  // the server's own word for it
  std::string model = {};
};

// Not thread safe.
class ReplyReader {
 public:
  static constexpr size_t kMostCalls = 128;

  // Pieces of the answer as they come, never empty. An error of it ends the reading.
  using OnPiece = std::function<Status(bool reasoning, std::string_view text)>;
  ReplyReader(Api api, OnPiece on_piece) : api_(api), on_piece_(std::move(on_piece)) {}

  // An event of a stream; what follows the last one is ignored.
  CallResult<void> TakeEvent(std::string_view data);
  // The body of an answer that is no stream.
  CallResult<void> TakeWhole(std::string_view body);
  // The answer, once nothing more comes; an error where its end is missing.
  CallResult<Reply> Finish();

  // Whether the caller has seen any of the answer.
  bool began() const { return began_; }

 private:
  CallResult<void> TakeChat(const Json& body);
  CallResult<void> TakeChatMessage(const Json& message);
  CallResult<void> TakeChatCall(const Json& call, size_t place);
  CallResult<void> TakeAnthropicEvent(const Json& event);
  CallResult<void> TakeAnthropicBlock(const Json& block, bool begins);
  CallResult<void> TakeAnthropicDelta(const Json& delta);
  CallResult<void> Show(bool reasoning, std::string_view text);
  CallResult<void> ShowContent(std::string_view text);
  CallResult<void> AddCall();
  void TakeUsage(const Json& usage);
  void TakeEnd(const Json& word);

  const Api api_;
  const OnPiece on_piece_;
  ThinkSplitter splitter_;
  Reply reply_;
  bool began_ = false;
  bool done_ = false;
};

}  // namespace fulmen
