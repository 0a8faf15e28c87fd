#include "train/documents.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/json.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

using Cut = DocumentOptions::Cut;
using Format = DocumentOptions::Format;

constexpr size_t kBatchBytes = size_t{8} << 20;
constexpr size_t kBatchDocuments = 4096;  // each may hold a file open

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// What people hand over in place of text, by the first bytes.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kOtherFormats = {{
    {"\xFF\xFE", "UTF-16 (iconv -f UTF-16 -t UTF-8 makes it UTF-8)"},
    {"\xFE\xFF", "UTF-16 (iconv -f UTF-16 -t UTF-8 makes it UTF-8)"},
    {"\x1F\x8B", "a gzip file, to be unpacked first"},
    {"\x28\xB5\x2F\xFD", "a zstd file, to be unpacked first"},
    {"PK\x03\x04", "a zip file, to be unpacked first"},
    {"PAR1", "a Parquet file, to be turned into JSONL first"},
    {"%PDF-", "a PDF file, to be turned into text first"},
}};

bool IsJsonl(const fs::path& path) { return path.extension() == ".jsonl"; }

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

std::string_view Contents(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Status AddFolder(const std::string& folder, std::vector<std::string>& files) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code gone;
    if (!entry->is_regular_file(gone)) continue;
    const fs::path& path = entry->path();
    if (path.extension() == ".txt" || IsJsonl(path)) found.push_back(path.string());
  }
  if (error) return Fail(ErrorCode::kIo, "{}: {}", folder, error.message());
  if (found.empty()) {
    return Fail(ErrorCode::kNotFound, "{}: *.txt or *.jsonl files are expected, found none",
                folder);
  }
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
  return {};
}

// `offset` is where `text` begins in its file.
Status CheckText(std::string_view text, size_t offset, const std::string& path) {
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const auto byte = static_cast<uint8_t>(*p);
    if (byte > 0 && byte < 0x80) {
      ++p;
      continue;
    }
    const auto position = offset + static_cast<size_t>(p - text.data());
    if (byte == 0) {
      return Fail(ErrorCode::kCorrupt, "{}: text is expected, found a NUL at byte {}", path,
                  position);
    }
    const Utf8Char c = DecodeUtf8(p, end);
    if (c.kind != Utf8Char::Kind::kValid) {
      return Fail(ErrorCode::kCorrupt, "{}: text in UTF-8 is expected, found 0x{:02x} at byte {}",
                  path, byte, position);
    }
    p += c.bytes;
  }
  return {};
}

Result<std::string> StringAt(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = object[key];
  if (value.is_string()) return value.get<std::string>();
  return Fail(ErrorCode::kCorrupt, "{}: '{}' should be a string, found {}", where, key,
              value.type_name());
}

void AddPiece(std::string text, bool in_loss, ParsedDocument& parsed) {
  if (!text.empty()) parsed.pieces.push_back({std::move(text), false, in_loss});
}

Result<ParsedDocument> ParseChat(Json request, const DocumentOptions& options,
                                 const RawDocument& document) {
  const std::string where = document.Where();
  if (!options.chat) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the tokenizer has no chat template of the family, so the chat format is to be "
                "named (--chat-format)",
                where);
  }
  request["add_generation_prompt"] = false;
  auto pieces = FormatChat(*options.chat, request);
  if (!pieces) return Fail(pieces.error().code, "{}: {}", where, pieces.error().message);
  const std::string folder = fs::path(document.file->path()).parent_path().string();
  FULMEN_ASSIGN(std::vector<ImageSource> images, FindImages(request["messages"], folder, where));
  return ParsedDocument{*std::move(pieces), true, std::move(images)};
}

Result<ParsedDocument> ParseLine(Json line, const DocumentOptions& options,
                                 const RawDocument& document) {
  const std::string where = document.Where();
  if (!line.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: a JSON object is expected, found {}", where,
                line.type_name());
  }
  const bool chats = options.format != Format::kJsonl;
  const bool texts = options.format != Format::kChat;
  if (chats && line.contains("messages")) return ParseChat(std::move(line), options, document);
  ParsedDocument parsed;
  if (texts && line.contains("prompt") && line.contains("completion")) {
    FULMEN_ASSIGN(std::string prompt, StringAt(line, "prompt", where));
    FULMEN_ASSIGN(std::string completion, StringAt(line, "completion", where));
    AddPiece(std::move(prompt), false, parsed);
    AddPiece(std::move(completion), true, parsed);
    return parsed;
  }
  if (texts && line.contains(options.text_key)) {
    FULMEN_ASSIGN(std::string text, StringAt(line, options.text_key, where));
    AddPiece(std::move(text), true, parsed);
    return parsed;
  }
  std::string keys;
  for (const auto& [key, value] : line.items()) keys += (keys.empty() ? "'" : ", '") + key + "'";
  return Fail(ErrorCode::kCorrupt, "{}: {}{}{} expected, found {}", where,
              texts ? fmt::format("'{}', or 'prompt' and 'completion'", options.text_key) : "",
              texts && chats ? ", or " : "", chats ? "'messages' are" : " are",
              keys.empty() ? "no key" : keys);
}

}  // namespace

Result<std::vector<std::string>> FindInputFiles(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!fs::exists(input, error)) {
      return Fail(ErrorCode::kNotFound, "{}: no such file or folder", input);
    }
    if (fs::is_directory(input, error)) {
      FULMEN_TRY(AddFolder(input, files));
    } else {
      files.push_back(input);
    }
  }
  return files;
}

std::string RawDocument::Where() const {
  if (line > 0) return fmt::format("{}:{}", file->path(), line);
  return offset == 0 ? file->path() : fmt::format("{}, byte {}", file->path(), offset);
}

Status DocumentReader::OpenNextFile() {
  const std::string& path = files_[opened_++];
  FULMEN_ASSIGN(MappedFile file, MappedFile::Open(path));
  const std::string_view contents = Contents(file);
  if (contents.empty()) {
    return Fail(ErrorCode::kCorrupt, "{}: text is expected, found an empty file", path);
  }
  for (const auto& [start, name] : kOtherFormats) {
    if (contents.starts_with(start)) {
      return Fail(ErrorCode::kCorrupt, "{}: text in UTF-8 is expected, found {}", path, name);
    }
  }
  if (options_.format == Format::kAuto && fs::path(path).extension() == ".json") {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: a name in .jsonl is expected of a file with a JSON object per line; --format "
                "says what this is",
                path);
  }
  position_ = contents.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  file_ = std::make_shared<const MappedFile>(std::move(file));
  json_ = options_.format == Format::kAuto ? IsJsonl(path) : options_.format != Format::kText;
  line_ = 0;
  return {};
}

std::string_view DocumentReader::TakeLine() {
  const std::string_view all = Contents(*file_);
  const size_t begin = position_;
  const size_t end = std::min(all.find('\n', begin), all.size());
  position_ = std::min(end + 1, all.size());
  ++line_;
  std::string_view line = all.substr(begin, end - begin);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool DocumentReader::IsBorder(std::string_view line) const {
  return options_.cut == Cut::kSeparator ? line == options_.separator : IsBlank(line);
}

Result<std::optional<RawDocument>> DocumentReader::Next() {
  for (;;) {
    while (file_ == nullptr || position_ == file_->bytes().size()) {
      if (opened_ == files_.size()) return std::nullopt;
      FULMEN_TRY(OpenNextFile());
    }
    const size_t begin = position_;
    if (json_) {
      const std::string_view line = TakeLine();
      if (IsBlank(line)) continue;
      return RawDocument{file_, begin, line.size(), line_};
    }
    if (options_.cut == Cut::kFile) {
      position_ = file_->bytes().size();
      return RawDocument{file_, begin, position_ - begin, 0};
    }
    size_t end = begin;
    while (position_ < file_->bytes().size() && !IsBorder(TakeLine())) end = position_;
    if (end > begin) return RawDocument{file_, begin, end - begin, 0};
  }
}

Result<std::vector<RawDocument>> DocumentReader::NextDocuments() {
  std::vector<RawDocument> documents;
  for (size_t bytes = 0; bytes < kBatchBytes && documents.size() < kBatchDocuments;) {
    FULMEN_ASSIGN(std::optional<RawDocument> document, Next());
    if (!document) break;
    bytes += document->size;
    documents.push_back(*std::move(document));
  }
  return documents;
}

Result<ParsedDocument> ParseDocument(const RawDocument& document, const DocumentOptions& options) {
  FULMEN_TRY(CheckText(document.bytes(), document.offset, document.file->path()));
  if (document.line == 0) {
    ParsedDocument parsed;
    AddPiece(std::string(document.bytes()), true, parsed);
    return parsed;
  }
  FULMEN_ASSIGN(Json line, ParseJson(document.bytes(), document.Where()));
  return ParseLine(std::move(line), options, document);
}

}  // namespace fulmen
