// fulmen tokenize: text to token ids; fulmen detokenize: back.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "base/console.h"
#include "base/json.h"
#include "base/parse_number.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/model_path.h"
#include "cli/session.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

struct TokenizeOptions {
  std::string model;
  std::optional<std::string> text;
  std::string file = "-";
  std::string chat;
  std::string chat_format;
  bool json = false;
  bool plain = false;
  bool jsonl = false;
};

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;
  std::string file = "-";
  bool json = false;
  bool jsonl = false;
};

Result<Tokenizer> LoadTokenizer(const std::string& model) {
  FULMEN_ASSIGN(const std::string path, ModelPath(model));
  return Tokenizer::Load(path);
}

std::string FormatIds(const std::vector<int32_t>& ids, bool json) {
  return json ? fmt::format("[{}]\n", fmt::join(ids, ", "))
              : fmt::format("{}\n", fmt::join(ids, " "));
}

// Calls body(line, where) for every line that is not empty; output is printed as it comes.
Status ForEachLine(
    std::string_view input, const std::string& file,
    const std::function<Result<std::string>(std::string_view, const std::string&)>& body) {
  for (size_t number = 1; !input.empty(); ++number) {
    const std::string_view line = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(line.size() + 1, input.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", InputName(file), number);
    FULMEN_ASSIGN(const std::string output, body(line, where));
    PrintText(output);
    FULMEN_TRY(FlushOutput());
  }
  return {};
}

Result<ChatFormat> FormatOf(const Tokenizer& tokenizer, const std::string& name) {
  if (!name.empty()) return *ChatFormatFromName(name);
  FULMEN_ASSIGN(const auto format, DetectChatFormat(tokenizer.chat_template()));
  if (format) return *format;
  return Fail(ErrorCode::kInvalidArgument,
              "the model has no chat template; name a format with --chat-format");
}

Status TokenizeChat(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  FULMEN_ASSIGN(const ChatFormat format, FormatOf(tokenizer, options.chat_format));
  FULMEN_ASSIGN(const Json request, ReadJsonInput(options.chat));
  const auto pieces = FormatChat(format, request);
  if (!pieces) {
    return Fail(pieces.error().code, "{}: {}", InputName(options.chat), pieces.error().message);
  }
  PrintText(FormatIds(EncodeChat(tokenizer, *pieces), options.json));
  return {};
}

Status RunTokenize(const TokenizeOptions& options) {
  FULMEN_ASSIGN(const Tokenizer tokenizer, LoadTokenizer(options.model));
  if (!options.chat.empty()) return TokenizeChat(tokenizer, options);
  const auto markers = options.plain ? Tokenizer::Markers::kPlain : Tokenizer::Markers::kParse;
  std::string text = options.text.value_or("");
  if (!options.text) {
    FULMEN_ASSIGN(text, ReadInput(options.file));
  }
  if (!options.jsonl) {
    PrintText(FormatIds(tokenizer.Encode(text, markers), options.json));
    return {};
  }
  return ForEachLine(
      text, options.file,
      [&](std::string_view line, const std::string& where) -> Result<std::string> {
        FULMEN_ASSIGN(const Json value, ParseJson(line, where));
        if (!value.is_string()) {
          return Fail(ErrorCode::kInvalidArgument, "{}: a JSON string is expected, found {}", where,
                      Shown(value));
        }
        return FormatIds(tokenizer.Encode(value.get_ref<const std::string&>(), markers), true);
      });
}

Result<std::vector<int32_t>> IdsFromJson(std::string_view text, const std::string& where) {
  FULMEN_ASSIGN(const Json list, ParseJson(text, where));
  if (!list.is_array()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: a JSON list of token ids is expected, found {}",
                where, Shown(list));
  }
  std::vector<int32_t> ids;
  for (const Json& item : list) {
    const std::optional<int64_t> id = IntegerIn(item, 0, INT32_MAX);
    if (!id) {
      return Fail(ErrorCode::kInvalidArgument, "{}: entry {} is {}, expected a token id", where,
                  ids.size(), Shown(item));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

// Ids separated by white space, or a JSON list of them.
Result<std::vector<int32_t>> ParseIds(std::string_view text, const std::string& where) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return std::vector<int32_t>();
  if (text[first] == '[') return IdsFromJson(text, where);
  std::vector<int32_t> ids;
  for (size_t begin = first; begin != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const auto id = ParseNumber<int32_t>(word, {.low = 0});
    if (!id) {
      return Fail(ErrorCode::kInvalidArgument, "{}: a token id {}", where, id.error().message);
    }
    ids.push_back(*id);
    begin = text.find_first_not_of(kSpace, end);
  }
  return ids;
}

std::string JsonLine(const std::string& bytes) {
  return Json(ReplaceInvalidUtf8(bytes)).dump() + "\n";
}

Status RunDetokenize(const DetokenizeOptions& options) {
  FULMEN_ASSIGN(const Tokenizer tokenizer, LoadTokenizer(options.model));
  std::string input;
  std::string where = "the arguments";
  if (options.ids.empty()) {
    FULMEN_ASSIGN(input, ReadInput(options.file));
    where = InputName(options.file);
  } else {
    input = fmt::format("{}", fmt::join(options.ids, " "));
  }
  if (options.jsonl) {
    return ForEachLine(
        input, options.file,
        [&](std::string_view line, const std::string& line_where) -> Result<std::string> {
          FULMEN_ASSIGN(const auto line_ids, IdsFromJson(line, line_where));
          FULMEN_ASSIGN(const std::string line_text, tokenizer.Decode(line_ids));
          return JsonLine(line_text);
        });
  }
  FULMEN_ASSIGN(const auto ids, ParseIds(input, where));
  FULMEN_ASSIGN(std::string text, tokenizer.Decode(ids));
  if (options.json) {
    PrintText(JsonLine(text));
    return {};
  }
  // The bytes exactly, so that text comes back as it was; only a terminal gets its line ended.
  if (isatty(STDOUT_FILENO) != 0 && !text.ends_with('\n')) text += '\n';
  PrintText(text);
  return {};
}

}  // namespace

void AddTokenizeCommand(Command& program) {
  Command& command = program.AddCommand("tokenize", "Turn text into token ids");
  auto options = std::make_shared<TokenizeOptions>();
  AddModelOption(command, options->model,
                 "Folder or .gguf file with a model, or only its tokenizer");
  command.Add("TEXT", options->text, "The text; without it, and without -f, standard input");
  command.Add("-f,--file FILE", options->file, "Read the text from this file; - is standard input")
      .Excludes({"TEXT"});
  command
      .Add("--chat FILE", options->chat,
           "Format a chat: a JSON file with messages, and tools and add_generation_prompt where "
           "wanted; - is standard input")
      .Excludes({"TEXT", "--file", "--plain", "--jsonl"});
  command.Add("--chat-format NAME", options->chat_format, "Format of the chat")
      .Choices(ChatFormatNames())
      .Default("the model's own")
      .Needs({"--chat"});
  command.Add("--json", options->json, "Print a JSON list").Excludes({"--jsonl"});
  command.Add("--plain", options->plain, "Marker strings such as <end_of_sentence> are plain text");
  command.Add("--jsonl", options->jsonl, "One JSON string per line in, one JSON list per line out")
      .Excludes({"TEXT"});
  command.Examples({"fulmen tokenize \"Once upon a time\"", "fulmen tokenize < README.md"});
  command.Run([options] { return RunTokenize(*options); });
}

void AddDetokenizeCommand(Command& program) {
  Command& command = program.AddCommand("detokenize", "Turn token ids into text");
  auto options = std::make_shared<DetokenizeOptions>();
  AddModelOption(command, options->model,
                 "Folder or .gguf file with a model, or only its tokenizer");
  command.Add("ID", options->ids, "Token ids; without them, and without -f, standard input");
  command
      .Add("-f,--file FILE", options->file,
           "Read the ids, separated by spaces or as a JSON list; - is standard input")
      .Excludes({"ID"});
  command.Add("--json", options->json, "Print a JSON string").Excludes({"--jsonl"});
  command.Add("--jsonl", options->jsonl, "One JSON list per line in, one JSON string per line out")
      .Excludes({"ID"});
  command.Examples({"fulmen tokenize \"Once upon\" | fulmen detokenize"});
  command.Run([options] { return RunDetokenize(*options); });
}

}  // namespace fulmen
