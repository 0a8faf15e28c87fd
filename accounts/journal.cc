#include "accounts/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "accounts/key.h"
#include "base/file_io.h"
#include "base/write_all.h"

namespace fulmen {
namespace {

using Json = nlohmann::json;

// Before each record: the length of its JSON, and the XXH3 of that.
struct Head {
  uint64_t length = 0;
  uint64_t checksum = 0;
};

std::string Framed(const std::string& text) {
  const Head head{.length = text.size(), .checksum = XXH3_64bits(text.data(), text.size())};
  std::string bytes(sizeof head, '\0');
  std::memcpy(bytes.data(), &head, sizeof head);
  return bytes + text;
}

std::string Written(const JournalRecord& record) {
  const TokenCounts& tokens = record.tokens;
  Json json = {
      {"request", record.request}, {"outcome", record.outcome}, {"ended", record.ended},
      {"prompt", tokens.prompt},   {"text", tokens.text},       {"cached", tokens.cached},
      {"image", tokens.image},     {"output", tokens.output},   {"reasoning", tokens.reasoning}};
  if (const auto& answer = record.answer) {
    json["answer"] = {{"streams", answer->streams}, {"body", answer->body}};
  }
  return Framed(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

JournalRecord Parsed(const Json& json) {
  const auto number = [&json](const char* name) { return json.value(name, int64_t{0}); };
  JournalRecord record;
  record.request = json.value("request", "");
  record.outcome = json.value("outcome", "");
  record.ended = number("ended");
  record.tokens = {.prompt = number("prompt"),
                   .text = number("text"),
                   .cached = number("cached"),
                   .image = number("image"),
                   .output = number("output"),
                   .reasoning = number("reasoning")};
  if (const auto answer = json.find("answer"); answer != json.end() && answer->is_object()) {
    record.answer = KeptAnswer{.name = {},
                               .is_whole = true,
                               .streams = answer->value("streams", false),
                               .body = answer->value("body", "")};
  }
  return record;
}

// The record at `at`, which goes behind it; nullopt where none is whole.
std::optional<Json> Next(const std::string& bytes, size_t& at) {
  Head head;
  if (bytes.size() - at < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data() + at, sizeof head);
  if (head.length > bytes.size() - at - sizeof head) return std::nullopt;
  const std::string text = bytes.substr(at + sizeof head, head.length);
  if (XXH3_64bits(text.data(), text.size()) != head.checksum) return std::nullopt;
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  at += sizeof head + text.size();
  return json;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(errno));
  std::unique_ptr<Journal> journal(new Journal(path, file));
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorCode::kUnavailable, "{}: another process has this journal open", path);
  }
  // Its name has to be on the disk before anything is promised to be.
  const std::string folder = (std::filesystem::path(path).parent_path() / ".").string();
  const int above = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = above >= 0 && fsync(above) == 0;
  const int failed = errno;
  if (above >= 0) close(above);
  if (!synced) return journal->Failed(failed);
  FULMEN_TRY(journal->Read());
  return journal;
}

Journal::~Journal() { close(file_); }

Status Journal::Append(const JournalRecord& record) {
  if (!trusted_) {
    return Fail(ErrorCode::kIo, "{}: nothing is written into it after the disk failed", path_);
  }
  FULMEN_TRY(Write(Written(record)));
  records_.push_back(record);
  return {};
}

Status Journal::Write(const std::string& bytes) {
  if (const int failed = WriteAll(file_, bytes); failed != 0) return Failed(failed);
  if (fsync(file_) != 0) return Failed(errno);
  return {};
}

Status Journal::Clear() {
  if (ftruncate(file_, head_) != 0 || fsync(file_) != 0) return Failed(errno);
  records_.clear();
  return {};
}

Status Journal::Read() {
  FULMEN_ASSIGN(const std::string bytes, ReadFile(path_));
  size_t at = 0;
  if (const std::optional<Json> first = Next(bytes, at)) {
    server_ = first->value("server", "");
    head_ = static_cast<int64_t>(at);
  }
  while (const std::optional<Json> record = Next(bytes, at)) records_.push_back(Parsed(*record));
  if (at < bytes.size() && (ftruncate(file_, static_cast<off_t>(at)) != 0 || fsync(file_) != 0)) {
    return Failed(errno);
  }
  if (head_ > 0) return {};
  server_ = NewServerId();
  const std::string head = Framed(Json{{"server", server_}}.dump());
  head_ = std::ssize(head);
  return Write(head);
}

tl::unexpected<Error> Journal::Failed(int number) {
  trusted_ = false;
  return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(number));
}

}  // namespace fulmen
