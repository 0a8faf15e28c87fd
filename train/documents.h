// The documents of input files: plain text, or JSONL with texts, prompts with completions, or
// chats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "tokenizer/chat.h"
#include "train/document_images.h"

namespace fulmen {

struct DocumentOptions {
  enum class Format : uint8_t {
    kAuto,   // *.jsonl is JSONL, each line by its keys; *.json is refused; all else is text
    kText,   // documents as `cut` says
    kJsonl,  // {text_key} or {"prompt", "completion"} per line
    kChat,   // {"messages", "tools"} per line, as in tokenizer/chat.h
  };
  // Where one document of a text file ends and the next begins.
  enum class Cut : uint8_t {
    kBlankLines,  // at a run of blank lines: empty, or with spaces and tabs only
    kSeparator,   // at a line equal to `separator`
    kFile,        // nowhere: a file is a document
  };
  Format format = Format::kAuto;
  std::string text_key = "text";
  Cut cut = Cut::kBlankLines;
  std::string separator = {};
  std::optional<ChatFormat> chat = {};  // how chats are written; without it they are refused
};

// The files among `inputs`, and the *.txt and *.jsonl files anywhere below the folders among them,
// those of one folder sorted by path. Fails for what is not there and for folders without any.
Result<std::vector<std::string>> FindInputFiles(const std::vector<std::string>& inputs);

// Where a document lies.
struct RawDocument {
  std::shared_ptr<const MappedFile> file;
  size_t offset = 0;
  size_t size = 0;
  size_t line = 0;  // of JSONL, counted from 1; 0: text

  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(file->bytes().data()) + offset, size};
  }
  // "FILE", "FILE, byte 17" or "FILE:3", for errors.
  std::string Where() const;
};

// Goes through the files once. Not thread safe.
class DocumentReader {
 public:
  DocumentReader(std::vector<std::string> files, const DocumentOptions& options)
      : files_(std::move(files)), options_(options) {}

  // The next documents in order, some megabytes of them; none at the end. An empty file is an
  // error. A byte-order mark of UTF-8 is passed over.
  Result<std::vector<RawDocument>> NextDocuments();

 private:
  Result<std::optional<RawDocument>> Next();
  Status OpenNextFile();
  // The line at position_, without its end; position_ moves behind it.
  std::string_view TakeLine();
  // Whether a line of a text file lies between two documents.
  bool IsBorder(std::string_view line) const;

  const std::vector<std::string> files_;
  const DocumentOptions options_;
  size_t opened_ = 0;  // files so far
  std::shared_ptr<const MappedFile> file_;
  bool json_ = false;
  size_t position_ = 0;
  size_t line_ = 0;
};

struct ParsedDocument {
  std::vector<PromptPiece> pieces;  // none when the document is empty
  bool chat = false;
  std::vector<ImageSource> images = {};  // one for each <image> among the pieces
};

// Checks and parses untrusted bytes: text without NUL in valid UTF-8, and the keys expected.
// Markers in texts, prompts and completions are plain text. Images are not read. Thread safe.
Result<ParsedDocument> ParseDocument(const RawDocument& document, const DocumentOptions& options);

}  // namespace fulmen
