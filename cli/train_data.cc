// fulmen train data: text into token shards.
#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "base/console.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/default_model.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "train/prepare.h"

namespace fulmen {
namespace {

struct DataCommand {
  std::vector<std::string> inputs;
  std::string format = "auto";
  std::string cut = "blank-lines";
  std::optional<std::string> separator;
  std::string chat_format;
  PrepareOptions options;
  bool no_end = false;
  int threads = 0;
  bool json = false;
};

DocumentOptions::Format FormatFromName(const std::string& name) {
  using Format = DocumentOptions::Format;
  if (name == "text") return Format::kText;
  if (name == "jsonl") return Format::kJsonl;
  return name == "chat" ? Format::kChat : Format::kAuto;
}

Status SetCut(DataCommand& command) {
  using Cut = DocumentOptions::Cut;
  DocumentOptions& documents = command.options.documents;
  documents.cut = command.cut == "files" ? Cut::kFile : Cut::kBlankLines;
  if (!command.separator) return {};
  if (command.separator->empty() || command.separator->find('\n') != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "--document-separator: a line that is not empty is expected, found {}; --documents "
                "blank-lines cuts at empty ones",
                command.separator->empty() ? "an empty one" : "several");
  }
  documents.cut = Cut::kSeparator;
  documents.separator = *command.separator;
  return {};
}

int64_t TotalBytes(const std::vector<std::string>& files) {
  uintmax_t bytes = 0;
  for (const std::string& file : files) {
    std::error_code error;  // reading will say what is wrong
    const uintmax_t size = std::filesystem::file_size(file, error);
    if (!error) bytes += size;
  }
  return static_cast<int64_t>(bytes);
}

Json InfoJson(const DatasetInfo& info) {
  return {{"documents", info.documents},
          {"tokens", info.tokens},
          {"learnt_tokens", info.learnt_tokens},
          {"shards", info.shards}};
}

std::string Counted(int64_t count, std::string_view what) {
  return fmt::format("{} {}{}", HumanCount(count), what, count == 1 ? "" : "s");
}

void PrintInfo(const std::string& folder, const DatasetInfo& info) {
  Print("{}: {}, {}{}\n", folder, Counted(info.documents, "document"),
        Counted(info.tokens, "token"),
        info.learnt_tokens == info.tokens
            ? ""
            : fmt::format(", {} of them learnt", HumanCount(info.learnt_tokens)));
}

std::string_view HowCut(DocumentOptions::Cut cut) {
  switch (cut) {
    case DocumentOptions::Cut::kBlankLines:
      return "cut from text files at blank lines (--documents files leaves them whole)";
    case DocumentOptions::Cut::kSeparator:
      return "cut from text files at the separator";
    case DocumentOptions::Cut::kFile:
      break;
  }
  return "whole text files (--documents blank-lines cuts them)";
}

void PrintReport(const DataCommand& command, const PrepareReport& report) {
  const std::string& out = command.options.out;
  const int64_t tokens =
      report.train.tokens + (report.held_out ? report.held_out->tokens : int64_t{0});
  const double bytes_per_token =
      static_cast<double>(report.text_bytes) / static_cast<double>(tokens);
  if (command.json) {
    Json json = {{"train", InfoJson(report.train)},
                 {"vocabulary", report.train.vocabulary},
                 {"text_bytes", report.text_bytes},
                 {"bytes_per_token", bytes_per_token},
                 {"empty_documents", report.empty_documents},
                 {"text_documents", report.text_documents},
                 {"chat_format", nullptr}};
    if (report.train.chat_format) json["chat_format"] = ChatFormatName(*report.train.chat_format);
    if (report.held_out) json["held_out"] = InfoJson(*report.held_out);
    Print("{}\n", json.dump());
    return;
  }
  PrintInfo(report.held_out ? out + "/train" : out, report.train);
  if (report.held_out) PrintInfo(out + "/held-out", *report.held_out);
  Print("{} of text, {:.2f} bytes per token, vocabulary of {}\n", HumanBytes(report.text_bytes),
        bytes_per_token, report.train.vocabulary);
  if (report.text_documents > 0) {
    Print("{} {}\n", Counted(report.text_documents, "document"),
          HowCut(command.options.documents.cut));
  }
  if (report.train.chat_format) {
    Print("a model trained on it chats in the format {}\n",
          ChatFormatName(*report.train.chat_format));
  }
  if (report.empty_documents > 0) {
    Print("{} left out\n", Counted(report.empty_documents, "empty document"));
  }
}

Status RunData(DataCommand& command) {
  PrepareOptions& options = command.options;
  if (options.model.empty() && options.train_vocabulary == 0) {
    FULMEN_ASSIGN(options.model, DefaultModelPath());
  }
  options.documents.format = FormatFromName(command.format);
  if (!command.chat_format.empty()) {
    options.documents.chat = ChatFormatFromName(command.chat_format);
  }
  FULMEN_TRY(SetCut(command));
  options.end = !command.no_end;
  FULMEN_ASSIGN(options.files, FindInputFiles(command.inputs));
  const InterruptGuard interrupt;
  ThreadPool pool(command.threads);
  const int64_t passes = options.train_vocabulary > 0 ? 2 : 1;
  constexpr int64_t kUnit = 1'000'000;
  Result<PrepareReport> report;
  {
    Progress progress("reading, megabytes", passes * TotalBytes(options.files) / kUnit);
    int64_t done = 0;
    report = PrepareData(options, pool, [&](int64_t bytes) {
      progress.Add((done + bytes) / kUnit - done / kUnit);
      done += bytes;
      return !interrupt.flag();
    });
  }
  FULMEN_TRY(report.map([](const PrepareReport&) {}));
  PrintReport(command, *report);
  return {};
}

}  // namespace

void AddTrainData(CLI::App& train) {
  auto command = std::make_shared<DataCommand>();
  PrepareOptions& options = command->options;
  DocumentOptions& documents = options.documents;
  CLI::App* app = train.add_subcommand("data", "Turn text, JSONL or chats into token shards");
  app->add_option("INPUT", command->inputs,
                  "Files, or folders with *.txt and *.jsonl anywhere below")
      ->required();
  app->add_option("--out", options.out, "Folder to write, new")->required();
  CLI::Option* model =
      app->add_option("-m,--model", options.model, "Folder with a model, or only its tokenizer");
  app->add_option(
         "--format", command->format,
         "text: documents as --documents says; jsonl: an object per line with a text, or a "
         "prompt and a completion; chat: an object per line with messages; auto: by file "
         "name and line")
      ->check(CLI::IsMember({"auto", "text", "jsonl", "chat"}))
      ->capture_default_str();
  app->add_option("--text-key", documents.text_key, "Where the text of a JSON object is")
      ->capture_default_str();
  CLI::Option* cut =
      app->add_option("--documents", command->cut,
                      "What a document of a text file is: what lies between blank lines, or all of "
                      "it (files)")
          ->check(CLI::IsMember({"blank-lines", "files"}))
          ->capture_default_str();
  app->add_option("--document-separator", command->separator,
                  "Cut text files into documents at lines that are this, instead")
      ->excludes(cut);
  app->add_option("--chat-format", command->chat_format,
                  "text-01, vl-01, m1 or m1-llama-cpp, instead of the tokenizer's own; a model "
                  "trained on the data gets its chat template, even without chats")
      ->check(CLI::IsMember({"text-01", "vl-01", "m1", "m1-llama-cpp"}));
  CLI::Option* vocabulary =
      app->add_option("--train-tokenizer", options.train_vocabulary,
                      "Train a tokenizer of this many tokens on the input and write it to the "
                      "folder, too")
          ->check(CLI::Range(int64_t{262}, int64_t{4'000'000}))
          ->excludes(model);
  app->add_option("--special", options.special,
                  "A special token of the tokenizer to train, besides those of chats; may be given "
                  "several times")
      ->needs(vocabulary)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--shard-tokens", options.shard_tokens, "Most tokens of one file")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->capture_default_str();
  app->add_option("--held-out", options.held_out,
                  "Share of documents to set apart: the folder then holds train and held-out")
      ->check(CLI::Range(0.0, 1.0));
  app->add_flag("--no-end", command->no_end,
                "Do not close documents with the end-of-sentence token");
  app->add_option("--threads", command->threads, "Threads (default: all)")
      ->check(CLI::Range(0, 1024));
  app->add_flag("--json", command->json, "Print the counts as JSON");
  app->footer(
      "Example: fulmen train data books/ --train-tokenizer 4096 --held-out 0.01 --out data/books");
  app->callback([command] { RunOrExit([&] { return RunData(*command); }); });
}

}  // namespace fulmen
