#include "cli/chat.h"

#include <fmt/core.h>

#include <csignal>
#include <string_view>
#include <utility>

#include "base/console.h"
#include "base/printable.h"
#include "cli/image_files.h"
#include "cli/line_reader.h"

namespace fulmen {
namespace {

constexpr std::string_view kHelp = R"(  /image FILE  shows a picture with what you say next
  /clear       starts over (/reset does, too)
  /help        shows this
  /exit        leaves (/quit, Ctrl-D, and Ctrl-C on an empty line do, too)
Several lines are one turn when they are pasted, when all but the last end in \, or between
""" and """, where a text may also begin with a slash. Alt-Enter begins a new line. Ctrl-C stops an
answer, and clears a line half typed.
)";

std::string Greeting(std::optional<ChatFormat> format, bool raw) {
  const std::string what =
      format ? fmt::format("Chat, in the {} format.", ChatFormatName(*format))
      : raw  ? "Text, as --raw asks: the model continues what you type, each turn on a line."
             : "This model has no chat format: it continues what you type, each turn on a line "
               "(--chat-format names a format).";
  return what + " /help lists commands and keys, Ctrl-D leaves.\n";
}

std::string_view WithoutSpaces(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

bool IsCommand(std::string_view turn) {
  return turn.starts_with('/') && turn.find('\n') == std::string_view::npos;
}

// A picture for the next turn.
void AddImage(const std::string& file, const Responder& responder,
              std::vector<std::string>& images) {
  const Result<std::string> url =
      responder.reads_images()
          ? ImageUrlOfFile(file)
          : Fail(ErrorCode::kUnsupported, "the model reads text alone, and no pictures");
  if (url) {
    images.push_back(*url);
  } else {
    Say("fulmen: {}\n", PrintableMessage(url.error()));
  }
}

// False when the user leaves.
bool Obey(std::string_view command, Responder& responder, std::vector<std::string>& images) {
  constexpr std::string_view kImage = "/image ";
  if (command == "/exit" || command == "/quit") return false;
  if (command.starts_with(kImage)) {
    AddImage(std::string(WithoutSpaces(command.substr(kImage.size()))), responder, images);
  } else if (command == "/clear" || command == "/reset") {
    responder.Reset();
    images.clear();
  } else {
    Say("{}{}", command == "/help" ? "" : "There is no such command. There are:\n", kHelp);
  }
  return true;
}

}  // namespace

Result<ChatEnd> Chat(Responder& responder, const InterruptGuard& interrupt,
                     std::optional<std::string> first, std::vector<std::string> images,
                     const ChatOptions& options) {
  LineReader reader("> ", interrupt);
  if (options.hints) SayText(Greeting(responder.format(), options.raw));
  while (true) {
    // Ctrl-C at a terminal was for the answer; other signals are for the program.
    const int signal = interrupt.signal();
    if (signal != 0 && !(signal == SIGINT && reader.interactive())) return ChatEnd::kInterrupted;
    if (reader.interactive()) interrupt.Clear();
    std::string message;
    if (first) {
      message = *std::exchange(first, std::nullopt);
    } else {
      std::string turn;
      const TurnOutcome outcome = reader.Read(turn);
      if (outcome == TurnOutcome::kSignal) return ChatEnd::kInterrupted;
      if (outcome == TurnOutcome::kEnd) {
        if (reader.interactive()) Say("\n");
        return ChatEnd::kLeft;
      }
      if (IsCommand(turn)) {
        if (!Obey(WithoutSpaces(turn), responder, images)) return ChatEnd::kLeft;
        continue;
      }
      message = UnwrapBlock(turn);
    }
    if (WithoutSpaces(message).empty()) continue;
    const Result<GenerateResult> result = responder.Answer(message, std::exchange(images, {}));
    if (result) {
      if (options.timings) Say("{}\n", responder.TimingLine(*result));
    } else if (reader.interactive() && result.error().code == ErrorCode::kInvalidArgument) {
      Say("fulmen: {} (/clear starts over)\n", PrintableMessage(result.error()));
    } else {
      return tl::unexpected<Error>(result.error());
    }
  }
}

}  // namespace fulmen
