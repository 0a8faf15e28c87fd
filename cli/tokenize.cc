// fulmen tokenize: text to token ids; fulmen detokenize: back.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/console.h"
#include "base/file_io.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/default_model.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace fulmen {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  std::string chat;
  std::string chat_format;
  bool has_text = false;
  bool json = false;
  bool plain = false;
  bool jsonl = false;
};

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;
  std::string file;
  bool json = false;
  bool jsonl = false;
};

Result<Tokenizer> LoadTokenizer(const std::string& model) {
  if (!model.empty()) return Tokenizer::Load(model);
  FULMEN_ASSIGN(const std::string path, DefaultModelPath());
  return Tokenizer::Load(path);
}

Result<std::string> ReadInput(const std::string& file) {
  return file.empty() ? ReadStandardInput() : ReadFile(file);
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
    const std::string where = fmt::format("{}:{}", file.empty() ? "standard input" : file, number);
    FULMEN_ASSIGN(const std::string output, body(line, where));
    PrintText(output);
    FULMEN_TRY(FlushOutput());
  }
  return {};
}

Result<ChatFormat> FormatOf(const Tokenizer& tokenizer, const std::string& name) {
  if (!name.empty()) {
    if (const auto format = ChatFormatFromName(name)) return *format;
    return Fail(ErrorCode::kInvalidArgument,
                "--chat-format: text-01, vl-01, m1 or m1-llama-cpp is expected, found '{}'", name);
  }
  FULMEN_ASSIGN(const auto format, DetectChatFormat(tokenizer.chat_template()));
  if (format) return *format;
  return Fail(ErrorCode::kInvalidArgument,
              "the model has no chat template; name a format with --chat-format");
}

Status TokenizeChat(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  FULMEN_ASSIGN(const ChatFormat format, FormatOf(tokenizer, options.chat_format));
  FULMEN_ASSIGN(const Json request, ReadJsonFile(options.chat));
  const auto pieces = FormatChat(format, request);
  if (!pieces) {
    return Fail(pieces.error().code, "{}: {}", options.chat, pieces.error().message);
  }
  PrintText(FormatIds(EncodeChat(tokenizer, *pieces), options.json));
  return {};
}

Status RunTokenize(const TokenizeOptions& options) {
  FULMEN_ASSIGN(const Tokenizer tokenizer, LoadTokenizer(options.model));
  if (!options.chat.empty()) return TokenizeChat(tokenizer, options);
  const auto markers = options.plain ? Tokenizer::Markers::kPlain : Tokenizer::Markers::kParse;
  std::string text = options.text;
  if (!options.has_text) {
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
                      value.type_name());
        }
        return FormatIds(tokenizer.Encode(value.get_ref<const std::string&>(), markers), true);
      });
}

Result<std::vector<int32_t>> IdsFromJson(std::string_view text, const std::string& where) {
  FULMEN_ASSIGN(const Json list, ParseJson(text, where));
  const auto is_id = [](const Json& id) {
    return id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
  };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_id)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: a JSON list of token ids is expected", where);
  }
  return list.get<std::vector<int32_t>>();
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
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size() || id < 0) {
      return Fail(ErrorCode::kInvalidArgument, "{}: a token id is expected, found '{}'", where,
                  word.substr(0, 40));
    }
    ids.push_back(id);
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
    where = options.file.empty() ? "standard input" : options.file;
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

void AddTokenizeCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token ids");
  auto options = std::make_shared<TokenizeOptions>();
  command->add_option("-m,--model", options->model, "Folder with a model, or only its tokenizer");
  CLI::Option* text = command->add_option("TEXT", options->text,
                                          "The text; without it, and without -f, standard input");
  CLI::Option* file =
      command->add_option("-f,--file", options->file, "Read the text from this file");
  CLI::Option* chat = command->add_option("--chat", options->chat,
                                          "Format a chat: a JSON file with messages, and tools and "
                                          "add_generation_prompt where wanted");
  command
      ->add_option("--chat-format", options->chat_format,
                   "text-01, vl-01, m1 or m1-llama-cpp, instead of the model's own")
      ->needs(chat);
  command->add_flag("--json", options->json, "Print a JSON list");
  CLI::Option* plain = command->add_flag("--plain", options->plain,
                                         "Marker strings such as <end_of_sentence> are plain text");
  CLI::Option* jsonl = command->add_flag("--jsonl", options->jsonl,
                                         "One JSON string per line in, one JSON list per line out");
  file->excludes(text);
  chat->excludes(text)->excludes(file)->excludes(plain)->excludes(jsonl);
  jsonl->excludes(text);
  command->footer("Example: fulmen tokenize -m models/fulmen-nano \"Alice was beginning to\"");
  command->callback([options, text] {
    options->has_text = text->count() > 0;
    RunOrExit([&] { return RunTokenize(*options); });
  });
}

void AddDetokenizeCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("detokenize", "Turn token ids into text");
  auto options = std::make_shared<DetokenizeOptions>();
  command->add_option("-m,--model", options->model, "Folder with a model, or only its tokenizer");
  CLI::Option* ids = command->add_option("ID", options->ids,
                                         "Token ids; without them, and without -f, standard input");
  CLI::Option* file = command->add_option("-f,--file", options->file,
                                          "Read the ids, separated by spaces or as a JSON list");
  command->add_flag("--json", options->json, "Print a JSON string");
  CLI::Option* jsonl = command->add_flag("--jsonl", options->jsonl,
                                         "One JSON list per line in, one JSON string per line out");
  file->excludes(ids);
  jsonl->excludes(ids);
  command->footer("Example: fulmen tokenize \"Once upon\" | fulmen detokenize");
  command->callback([options] { RunOrExit([&] { return RunDetokenize(*options); }); });
}

}  // namespace fulmen
