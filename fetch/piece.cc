#include "fetch/piece.h"

#include <string_view>
#include <utility>

#include "base/parse_number.h"

namespace fulmen {
namespace {

constexpr int64_t kRecordedAtATime = int64_t{1} << 20;  // bytes that a kill may cost each thread
constexpr int64_t kGain = int64_t{1} << 20;             // bytes that excuse the attempts before
constexpr int kMostRestarts = 5;

// Of an answer with status 206: "bytes 100-199/1000".
struct ContentRange {
  ByteRange range;
  std::optional<int64_t> size;  // of the file; nullopt for "*"
};

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  constexpr Range<int64_t> kAny{0, int64_t{1} << 60};
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto begin = ParseNumber<int64_t>(text.substr(0, dash), kAny);
  const auto last = ParseNumber<int64_t>(text.substr(dash + 1, slash - dash - 1), kAny);
  const auto size = ParseNumber<int64_t>(text.substr(slash + 1), kAny);
  if (!begin || !last || (!size && text.substr(slash + 1) != "*")) return std::nullopt;
  return ContentRange{{*begin, *last + 1}, size ? std::optional(*size) : std::nullopt};
}

// If-Range compares no weak tags.
std::string StrongTag(const std::string& etag) { return etag.starts_with("W/") ? "" : etag; }

// Ends a request whose bytes nobody wants any more.
tl::unexpected<Error> InVain() { return Fail(ErrorCode::kCancelled, "begun anew"); }

}  // namespace

Status Transit::Restart(const DownloadJob& job) {
  if (++restarts > kMostRestarts) {
    return Fail(ErrorCode::kCorrupt, "it was begun anew {} times, and came to no end",
                kMostRestarts);
  }
  ++generation;
  FULMEN_TRY(partial->Restart());
  job.progress(-std::exchange(counted, 0));
  missing.clear();
  return {};
}

Piece::Piece(const DownloadJob& job, Transit& transit, ByteRange range, int generation,
             const std::function<void()>& wake)
    : job_(job),
      transit_(transit),
      range_(range),
      generation_(generation),
      wake_(wake),
      position_(range.begin),
      recorded_(range.begin) {}

Status Piece::Fetch(HostConnection& connection, const TransferOptions& options) {
  Retries retries(options);
  int64_t excused = position_;
  while (true) {
    auto response = connection.Get(
        Request(),
        {.start = [this](const GetResponse& head) { return Start(head); },
         .bytes = [this](std::span<const std::byte> bytes) { return TakeBytes(bytes); }});
    FULMEN_ASSIGN(const bool over, Settle(response.has_value()));
    if (over) return {};
    GetFailure failure;
    if (response) {
      failure.error = {ErrorCode::kUnavailable, "the answer ended early"};
      failure.transient = true;
    } else {
      failure = std::move(response).error();
    }
    if (position_ >= excused + kGain) {
      excused = position_;
      retries.Reset();
    }
    if (const Status waited = retries.Wait(failure); !waited) {
      failure.error = waited.error();
      return tl::unexpected(job_.host.Explain(job_.model, transit_.file.path, failure));
    }
  }
}

GetRequest Piece::Request() {
  const std::lock_guard<std::mutex> lock(transit_.mutex);
  GetRequest request = job_.host.RequestFor(job_.model, job_.commit, transit_.file.path);
  in_part_ = position_ > 0 || range_.end < transit_.file.size;
  if (in_part_) {
    request.range = ByteRange{position_, range_.end};
    request.if_range = StrongTag(transit_.partial->etag());
  }
  return request;
}

Status Piece::Start(const GetResponse& response) {
  const std::lock_guard<std::mutex> lock(transit_.mutex);
  if (stale()) return InVain();
  const Checksum& checksum = transit_.file.checksum;
  if (IsHexOf(Checksum::Kind::kSha256, response.linked_etag) &&
      checksum.kind == Checksum::Kind::kSha256 && response.linked_etag != checksum.hex) {
    return Fail(ErrorCode::kCorrupt, "the host lists the checksum {}, and sends a file of {}",
                checksum.hex, response.linked_etag);
  }
  if (response.status == 206 && in_part_) return TakePart(response);
  if (response.status != 200) {
    return Fail(ErrorCode::kCorrupt, "status 200{} is expected, found {}",
                in_part_ ? " or 206" : "", response.status);
  }
  return TakeWhole(response);
}

Status Piece::TakePart(const GetResponse& response) {
  const auto found = ParseContentRange(response.content_range);
  const int64_t size = transit_.file.size;
  if (!found || found->range.begin != position_ || found->range.end > range_.end ||
      found->size.value_or(size) != size) {
    return Fail(ErrorCode::kCorrupt, "bytes {}-{}/{} are expected, found {}", position_,
                range_.end - 1, size,
                response.content_range.empty() ? "no Content-Range" : response.content_range);
  }
  // Where the host has named the bytes by their checksum, a store's own tag says nothing more.
  if (!response.linked_etag.empty()) return BeginRanges();
  const std::string& known = transit_.partial->etag();
  if (!known.empty() && !response.etag.empty() && known != response.etag) {
    FULMEN_TRY(transit_.Restart(job_));
    transit_.in_ranges = false;
    const auto all = transit_.partial->have().Missing(size, job_.options.piece_bytes);
    transit_.missing.assign(all.begin(), all.end());
    wake_();
    return InVain();
  }
  if (known.empty()) FULMEN_TRY(transit_.partial->SetEtag(response.etag));
  return BeginRanges();
}

Status Piece::BeginRanges() {
  if (!std::exchange(transit_.in_ranges, true)) wake_();
  return {};
}

Status Piece::TakeWhole(const GetResponse& response) {
  FULMEN_TRY(CheckLength(response));
  if (in_part_) {
    // The host gives no ranges, or If-Range found another file than the one begun.
    FULMEN_TRY(transit_.Restart(job_));
    generation_ = transit_.generation;
    range_ = {0, transit_.file.size};
    position_ = 0;
    recorded_ = 0;
  }
  if (!response.linked_etag.empty() || !transit_.partial->etag().empty()) return {};
  return transit_.partial->SetEtag(response.etag);
}

Status Piece::CheckLength(const GetResponse& response) const {
  if (response.length.value_or(transit_.file.size) == transit_.file.size) return {};
  return Fail(ErrorCode::kCorrupt, "the host lists {} bytes, and sends {}", transit_.file.size,
              *response.length);
}

Status Piece::TakeBytes(std::span<const std::byte> bytes) {
  const std::lock_guard<std::mutex> lock(transit_.mutex);
  if (stale()) return InVain();
  const auto count = static_cast<int64_t>(bytes.size());
  if (count > range_.end - position_) {
    return Fail(ErrorCode::kCorrupt, "the host lists {} bytes, and sends more", transit_.file.size);
  }
  FULMEN_TRY(transit_.partial->Write(position_, bytes));
  position_ += count;
  transit_.counted += count;
  job_.progress(count);
  return position_ - recorded_ >= kRecordedAtATime ? Record() : Status();
}

Status Piece::Record() {
  return transit_.partial->Record({std::exchange(recorded_, position_), position_});
}

Result<bool> Piece::Settle(bool answered) {
  const std::lock_guard<std::mutex> lock(transit_.mutex);
  if (stale()) return true;
  FULMEN_TRY(Record());
  return answered && position_ == range_.end;
}

}  // namespace fulmen
