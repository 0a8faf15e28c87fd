#include "fetch/partial_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/parse_number.h"
#include "base/write_all.h"
#include "fetch/file_name.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJournalEnd = ".ranges";

std::string PartsFolder() { return std::string(kPullFolder) + "/parts"; }
std::string DataName(const std::string& path) { return PartsFolder() + "/" + path + ".part"; }
std::string JournalName(const std::string& path) { return DataName(path) + kJournalEnd; }

std::string FirstLine(const RemoteFile& file) {
  return fmt::format("fulmen pull 1 {} {}\n", file.size, file.checksum.Text());
}

// The next line without its end; nullopt where the text has no whole one any more.
std::optional<std::string_view> TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

Result<std::string> ReadAll(const FileHandle& file, const std::string& name) {
  constexpr size_t kLongest = size_t{1} << 26;
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (text.size() <= kLongest) {
    const ssize_t count =
        pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrorCode::kIo, "{}: {}", name, ErrnoMessage(errno));
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return std::string();  // no journal of ours
}

int64_t SizeOf(const FileHandle& file) {
  struct stat info {};
  return fstat(file.get(), &info) == 0 ? info.st_size : 0;
}

}  // namespace

std::optional<DownloadJournal> ParseJournal(std::string_view text, const RemoteFile& file,
                                            int64_t written) {
  const std::string first = FirstLine(file);
  if (!text.starts_with(first)) return std::nullopt;
  text.remove_prefix(first.size());
  DownloadJournal journal;
  const int64_t most = std::min(file.size, written);
  while (const auto line = TakeLine(text)) {
    if (line->starts_with("etag ")) {
      journal.etag = line->substr(5);
      continue;
    }
    const size_t space = std::min(line->find(' '), line->size());
    const auto begin = ParseNumber<int64_t>(line->substr(0, space), {0, most});
    const auto end =
        ParseNumber<int64_t>(line->substr(std::min(space + 1, line->size())), {0, most});
    if (!begin || !end || *begin >= *end) return std::nullopt;
    journal.have.Add({*begin, *end});
  }
  return journal;
}

PartialDownload::PartialDownload(const TargetFolder& folder, const RemoteFile& file)
    : folder_(&folder),
      file_(file),
      data_name_(DataName(file.path)),
      journal_name_(JournalName(file.path)) {}

Result<PartialDownload> PartialDownload::Open(const TargetFolder& folder, const RemoteFile& file) {
  PartialDownload partial(folder, file);
  FULMEN_ASSIGN(partial.data_, folder.Open(partial.data_name_, O_RDWR | O_CREAT));
  FULMEN_ASSIGN(partial.journal_file_,
                folder.Open(partial.journal_name_, O_RDWR | O_CREAT | O_APPEND));
  FULMEN_ASSIGN(const std::string text,
                ReadAll(partial.journal_file_, folder.PathOf(partial.journal_name_)));
  const auto journal = ParseJournal(text, file, SizeOf(partial.data_));
  if (!journal) {
    FULMEN_TRY(partial.Restart());
    return partial;
  }
  partial.journal_ = *journal;
  // What is appended to a line that was cut short would be lost with it.
  if (!text.ends_with('\n')) {
    const auto whole = static_cast<off_t>(text.rfind('\n') + 1);
    if (ftruncate(partial.journal_file_.get(), whole) != 0) FULMEN_TRY(partial.Restart());
  }
  return partial;
}

Status PartialDownload::Append(const std::string& line) {
  if (const int number = WriteAll(journal_file_.get(), line)) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder_->PathOf(journal_name_),
                ErrnoMessage(number));
  }
  return {};
}

Status PartialDownload::Write(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(data_.get(), bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return Fail(ErrorCode::kIo, "cannot write {}: {}", folder_->PathOf(file_.path),
                  ErrnoMessage(errno));
    }
    offset += count;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status PartialDownload::Record(ByteRange range) {
  if (range.size() <= 0) return {};
  FULMEN_TRY(Append(fmt::format("{} {}\n", range.begin, range.end)));
  journal_.have.Add(range);
  return {};
}

Status PartialDownload::SetEtag(const std::string& etag) {
  constexpr size_t kLongest = 1024;
  const bool fits = etag.size() <= kLongest &&
                    std::ranges::all_of(etag, [](char c) { return c >= ' ' && c < '\x7F'; });
  if (!fits || etag.empty()) return {};
  FULMEN_TRY(Append(fmt::format("etag {}\n", etag)));
  journal_.etag = etag;
  return {};
}

Status PartialDownload::Restart() {
  // The journal first: bytes that none names do not count.
  if (ftruncate(journal_file_.get(), 0) != 0 || ftruncate(data_.get(), 0) != 0) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder_->PathOf(file_.path),
                ErrnoMessage(errno));
  }
  journal_ = {};
  return Append(FirstLine(file_));
}

Result<Checksum> PartialDownload::Sum(const std::function<bool()>& stopped) const {
  return ComputeChecksum(file_.checksum.kind, data_.get(), file_.size, folder_->PathOf(file_.path),
                         stopped);
}

Status PartialDownload::Finish() {
  if (fsync(data_.get()) != 0) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder_->PathOf(file_.path),
                ErrnoMessage(errno));
  }
  FULMEN_TRY(folder_->Rename(data_name_, file_.path));
  folder_->Remove(journal_name_);
  return {};
}

void PartialDownload::Remove() {
  folder_->Remove(journal_name_);
  folder_->Remove(data_name_);
}

int64_t PartialBytes(const TargetFolder& folder, const RemoteFile& file) {
  const auto journal = folder.Open(JournalName(file.path), O_RDONLY);
  const auto stamp = folder.Stamp(DataName(file.path));
  if (!journal || !stamp) return 0;
  const auto text = ReadAll(*journal, "");
  const auto parsed = text ? ParseJournal(*text, file, stamp->size) : std::nullopt;
  return parsed ? parsed->have.total() : 0;
}

void RemoveOtherPartials(const TargetFolder& folder,
                         const std::function<bool(const std::string&)>& wanted) {
  const fs::path root = folder.PathOf(PartsFolder());
  std::vector<fs::path> paths;
  std::error_code ended;  // nothing there, or nothing to be done about it
  for (fs::recursive_directory_iterator it(root, ended), end; !ended && it != end;
       it.increment(ended)) {
    paths.push_back(it->path());
  }
  // What a folder has comes behind it.
  std::ranges::reverse(paths);
  for (const fs::path& path : paths) {
    std::string name = path.lexically_relative(root).string();
    for (const std::string_view end : {std::string_view(kJournalEnd), std::string_view(".part")}) {
      if (name.ends_with(end)) name.erase(name.size() - end.size());
    }
    if (!wanted(name)) fs::remove(path, ended);  // of folders, those that are empty
  }
  fs::remove(root, ended);
}

}  // namespace fulmen
