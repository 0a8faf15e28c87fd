// fulmen train data: text into token shards.
#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "base/console.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "train/prepare.h"
#include "train/run_setup.h"
#include "train/training_config.h"

namespace fulmen {
namespace {

struct DataCommand {
  std::vector<std::string> inputs;
  std::string format = "auto";
  std::string cut = "blank-lines";
  std::optional<std::string> separator;
  std::string chat_format;
  std::string run;
  PrepareOptions options;
  bool no_end = false;
  int threads = 0;
  bool quiet = false;
  bool json = false;
};

DocumentOptions::Format FormatFromName(const std::string& name) {
  using Format = DocumentOptions::Format;
  if (name == "text") return Format::kText;
  if (name == "jsonl") return Format::kJsonl;
  return name == "chat" ? Format::kChat : Format::kAuto;
}

// Of --document-separator.
Status TakeSeparator(const std::string& line, std::optional<std::string>& separator) {
  if (line.empty() || line.find('\n') != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "should be a line that is not empty (--documents blank-lines cuts at those), found "
                "{}",
                line.empty() ? "an empty one" : "several");
  }
  separator = line;
  return {};
}

void SetCut(DataCommand& command) {
  using Cut = DocumentOptions::Cut;
  DocumentOptions& documents = command.options.documents;
  documents.cut = command.cut == "files" ? Cut::kFile : Cut::kBlankLines;
  if (!command.separator) return;
  documents.cut = Cut::kSeparator;
  documents.separator = *command.separator;
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
          {"learnt_tokens", info.loss_tokens},
          {"images", info.images},
          {"shards", info.shards}};
}

std::string Counted(int64_t count, std::string_view what) {
  return fmt::format("{} {}{}", HumanCount(count), what, count == 1 ? "" : "s");
}

void PrintInfo(const std::string& folder, const DatasetInfo& info) {
  Print("{}: {}{}, {}{}\n", folder, Counted(info.documents, "document"),
        info.images == 0 ? "" : fmt::format(" with {}", Counted(info.images, "image")),
        Counted(info.tokens, "token"),
        info.loss_tokens == info.tokens
            ? ""
            : fmt::format(", {} of them in the loss", HumanCount(info.loss_tokens)));
}

std::string_view HowCut(DocumentOptions::Cut cut) {
  switch (cut) {
    case DocumentOptions::Cut::kBlankLines:
      return "cut at blank lines (--documents files leaves files whole)";
    case DocumentOptions::Cut::kSeparator:
      return "cut at the separator";
    case DocumentOptions::Cut::kFile:
      break;
  }
  return "each a whole file (--documents blank-lines cuts files)";
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
    Print("{} of text files, {}\n", Counted(report.text_documents, "document"),
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
  if (options.train_vocabulary == 0 && command.run.empty()) {
    FULMEN_ASSIGN(options.model, ModelPath(options.model));
  }
  if (!command.run.empty()) {
    FULMEN_ASSIGN(const TrainingConfig config, ReadTrainingConfig(command.run));
    options.model = TokenizerFolder(config.model);
    FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(options.model));
    FULMEN_ASSIGN(options.geometry, GeometryOf(config, tokenizer));
  }
  options.documents.format = FormatFromName(command.format);
  if (!command.chat_format.empty()) {
    options.documents.chat = ChatFormatFromName(command.chat_format);
  }
  SetCut(command);
  options.end = !command.no_end;
  FULMEN_ASSIGN(options.files, FindInputFiles(command.inputs));
  const InterruptGuard interrupt;
  ThreadPool pool(command.threads);
  const int64_t passes = options.train_vocabulary > 0 ? 2 : 1;
  constexpr int64_t kUnit = 1'000'000;
  Result<PrepareReport> report;
  {
    Progress progress(command.quiet ? "" : "reading, megabytes",
                      passes * TotalBytes(options.files) / kUnit);
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

void AddTrainData(Command& train) {
  auto options = std::make_shared<DataCommand>();
  PrepareOptions& prepare = options->options;
  DocumentOptions& documents = prepare.documents;
  Command& command = train.AddCommand("data", "Turn text, JSONL or chats into token shards");
  command.Add("INPUT", options->inputs, "Files, or folders with *.txt and *.jsonl anywhere below")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("--out FOLDER", prepare.out, "Folder to write, new").Required();
  AddModelOption(command, prepare.model,
                 "Folder or .gguf file with a model, or only its tokenizer");
  command
      .Add("--run CONFIG", options->run,
           "In place of a model, the config of the training run that the data are for: its "
           "tokenizer, and how its model has images cut")
      .Completes(Completion::kFiles)
      .Excludes({"--model"});
  command
      .Add("--format NAME", options->format,
           "text: documents as --documents says; jsonl: an object per line with a text, or a "
           "prompt and a completion; chat: an object per line with messages; auto: by file name "
           "and line")
      .Choices({"auto", "text", "jsonl", "chat"});
  command.Add("--text-key KEY", documents.text_key, "Where the text of a JSON object is");
  command
      .Add("--documents KIND", options->cut,
           "What a document of a text file is: what lies between blank lines, or all of it (files)")
      .Choices({"blank-lines", "files"});
  command
      .Add(
          "--document-separator LINE",
          [options](const std::string& line) { return TakeSeparator(line, options->separator); },
          "Cut text files into documents at lines that are this, instead")
      .Excludes({"--documents"});
  command
      .Add(
          "--chat-format NAME", options->chat_format,
          "Format of chats; a model trained on the data gets its chat template, even without chats")
      .Choices(ChatFormatNames())
      .Default("the tokenizer's own");
  command
      .Add("--train-tokenizer N", prepare.train_vocabulary,
           "Train a tokenizer of this many tokens on the input and write it to the folder, too",
           {262, 4'000'000})
      .Excludes({"--model", "--run"})
      .Default("none is trained");
  command
      .Add("--special TOKEN", prepare.special,
           "A special token of the tokenizer to train, besides those of chats")
      .Needs({"--train-tokenizer"});
  command.Add("--shard-tokens N", prepare.shard_tokens, "Most tokens of one file",
              {1, int64_t{1} << 32});
  command.Add("--held-out SHARE", prepare.held_out,
              "Share of documents to set apart: the folder then holds train and held-out", {0, 1});
  command.Add("--no-end", options->no_end, "Do not close documents with the end-of-sentence token");
  AddThreadsOption(command, options->threads);
  AddQuietOption(command, options->quiet);
  command.Add("--json", options->json, "Print the counts as JSON");
  command.Examples(
      {"fulmen train data books/ --train-tokenizer 4096 --held-out 0.01 --out "
       "data/books"});
  command.Run([options] { return RunData(*options); });
}

}  // namespace fulmen
