#include "cli/call_chat.h"

#include <csignal>
#include <string_view>
#include <utility>

#include "base/console.h"
#include "base/printable.h"
#include "cli/image_files.h"
#include "cli/line_reader.h"

namespace fulmen {
namespace {

constexpr std::string_view kCallChatHelp = R"(  /image FILE  shows a picture with what you say next
  /clear       starts over
  /help        shows this
  /exit        leaves (Ctrl-D, and Ctrl-C on an empty line do, too)
)";

tl::unexpected<CallError> Interrupted() {
  return tl::unexpected<CallError>(CallError{.error = {ErrorCode::kCancelled, "stopped"}});
}

// False when the user leaves.
bool Obey(const std::string& command, CallSession& session, std::vector<std::string>& images) {
  constexpr std::string_view kImage = "/image ";
  if (command == "/exit" || command == "/quit") return false;
  if (command.starts_with(kImage)) {
    const Result<std::string> url = ImageUrlOfFile(command.substr(kImage.size()));
    if (url) {
      images.push_back(*url);
    } else {
      Say("fulmen: {}\n", PrintableMessage(url.error()));
    }
  } else if (command == "/clear") {
    session.Reset();
    images.clear();
  } else {
    Say("{}{}", command == "/help" ? "" : "There is no such command. There are:\n", kCallChatHelp);
  }
  return true;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

CallResult<void> CallChat(CallSession& session, const InterruptGuard& interrupt,
                          std::optional<std::string> first, std::vector<std::string> images,
                          bool hints) {
  LineReader reader("> ", interrupt);
  if (hints) Say("Chat. /help lists commands, Ctrl-D leaves.\n");
  while (true) {
    // Ctrl-C at a terminal was for the answer; other signals are for the program.
    const int signal = interrupt.signal();
    if (signal != 0 && !(signal == SIGINT && reader.interactive())) return Interrupted();
    if (reader.interactive()) interrupt.Clear();
    std::string turn;
    if (first) {
      turn = *std::exchange(first, std::nullopt);
    } else {
      const TurnOutcome outcome = reader.Read(turn);
      if (outcome == TurnOutcome::kSignal) return Interrupted();
      if (outcome == TurnOutcome::kEnd) {
        if (reader.interactive()) Say("\n");
        return {};
      }
      if (turn.starts_with('/') && turn.find('\n') == std::string::npos) {
        if (!Obey(turn, session, images)) return {};
        continue;
      }
      turn = UnwrapBlock(turn);
    }
    if (IsBlank(turn)) continue;
    const CallResult<Reply> reply = session.Say(turn, std::exchange(images, {}));
    if (reply) continue;
    const ErrorCode code = reply.error().error.code;
    if (!reader.interactive() || code == ErrorCode::kClosedPipe) {
      return tl::unexpected<CallError>(reply.error());
    }
    Say("\nfulmen: {}\n", PrintableMessage(reply.error().error));
  }
}

}  // namespace fulmen
