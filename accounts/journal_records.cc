#include "accounts/journal_records.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "accounts/key.h"
#include "base/json.h"

namespace fulmen {
namespace {

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

// Members of the wrong type throw, as missing ones do.
JournalRecord RecordOf(const Json& json) {
  const auto number = [&json](const char* name) { return json.at(name).get<int64_t>(); };
  JournalRecord record;
  record.request = json.at("request").get<std::string>();
  record.outcome = json.at("outcome").get<std::string>();
  record.ended = number("ended");
  record.tokens = {.prompt = number("prompt"),
                   .text = number("text"),
                   .cached = number("cached"),
                   .image = number("image"),
                   .output = number("output"),
                   .reasoning = number("reasoning")};
  if (const auto answer = json.find("answer"); answer != json.end()) {
    record.answer = KeptAnswer{.name = {},
                               .is_whole = true,
                               .streams = answer->at("streams").get<bool>(),
                               .body = answer->at("body").get<std::string>()};
  }
  return record;
}

// The text of the record at the front of `bytes`; nullopt where none is whole.
std::optional<std::string_view> First(std::string_view bytes) {
  Head head;
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  bytes.remove_prefix(sizeof head);
  if (head.length > bytes.size()) return std::nullopt;
  const std::string_view text = bytes.substr(0, head.length);
  if (XXH3_64bits(text.data(), text.size()) != head.checksum) return std::nullopt;
  return text;
}

// Whether a crash while the first record was written can have left this. It is always as long, and
// a file may grow before its bytes come.
bool MayBeATornHead(std::string_view bytes) {
  const std::string whole = JournalHead(NewServerId());
  if (bytes.size() > whole.size()) return false;
  if (std::ranges::all_of(bytes, [](char byte) { return byte == '\0'; })) return true;
  const size_t known = std::min(bytes.size(), sizeof Head::length);
  return bytes.substr(0, known) == std::string_view(whole).substr(0, known);
}

}  // namespace

Result<JournalContents> ParseJournal(std::string_view bytes) {
  JournalContents contents;
  const auto refuse = [] {
    return Fail(ErrorCode::kCorrupt, "expected a journal of this version, found something else");
  };
  try {
    while (const auto text = First(bytes.substr(contents.whole))) {
      const Json json = Json::parse(*text);
      contents.whole += sizeof(Head) + text->size();
      if (contents.head == 0) {
        contents.server = json.at("server").get<std::string>();
        contents.head = contents.whole;
      } else {
        contents.records.push_back(RecordOf(json));
      }
    }
  } catch (const Json::exception&) {
    return refuse();
  }
  if (contents.head == 0 && !MayBeATornHead(bytes)) return refuse();
  return contents;
}

std::string JournalHead(const std::string& server) {
  return Framed(Json{{"server", server}}.dump());
}

std::string FormatJournalRecord(const JournalRecord& record) {
  const TokenCounts& tokens = record.tokens;
  Json json = {
      {"request", record.request}, {"outcome", record.outcome}, {"ended", record.ended},
      {"prompt", tokens.prompt},   {"text", tokens.text},       {"cached", tokens.cached},
      {"image", tokens.image},     {"output", tokens.output},   {"reasoning", tokens.reasoning}};
  if (const auto& answer = record.answer) {
    json["answer"] = {{"streams", answer->streams}, {"body", answer->body}};
  }
  return Framed(DumpJson(json));
}

}  // namespace fulmen
