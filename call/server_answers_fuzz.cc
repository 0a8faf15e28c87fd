// libFuzzer target: any bytes as what a server answers, as a stream in pieces and as a whole.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "call/call_error.h"
#include "call/reply.h"
#include "call/sse.h"

namespace fulmen {
namespace {

// What is read of a stream in pieces of `size` bytes.
std::string ReadStream(Api api, std::string_view stream, size_t size) {
  std::string seen;
  ReplyReader reader(api, [&seen](bool reasoning, std::string_view text) -> Status {
    FULMEN_CHECK(!text.empty(), "an empty piece");
    seen += text;
    seen += reasoning ? "r" : "t";
    return {};
  });
  SseReader events;
  std::string said;
  for (size_t at = 0; at < stream.size(); at += size) {
    const Status fed = events.Feed(stream.substr(at, size),
                                   [&](std::string_view, std::string_view data) -> Status {
                                     auto taken = reader.TakeEvent(data);
                                     if (taken) return {};
                                     return tl::unexpected<Error>(taken.error().error);
                                   });
    if (!fed) return seen + fed.error().message;
  }
  const auto reply = reader.Finish();
  if (!reply) return seen + reply.error().error.message;
  FULMEN_CHECK(reply->calls.size() <= ReplyReader::kMostCalls, "too many calls");
  return seen + reply->text + reply->reasoning;
}

void Check(std::string_view bytes) {
  for (const Api api : kApis) {
    const std::string whole = ReadStream(api, bytes, bytes.size() + 1);
    FULMEN_CHECK(ReadStream(api, bytes, 1) == whole, "cut in pieces it is another answer");
    ReplyReader reader(api, [](bool, std::string_view) { return Status(); });
    if (reader.TakeWhole(bytes)) (void)reader.Finish();
  }
  for (const int status : {200, 401, 429, 500}) {
    FULMEN_CHECK(!ErrorOfStatus(status, bytes).error.message.empty(), "no message");
  }
}

}  // namespace
}  // namespace fulmen

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fulmen::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
