#include "engine/state_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/random.h"

namespace fulmen {
namespace {

constexpr std::string_view kMagic = "FlmState";
constexpr uint32_t kStateVersion = 1;
constexpr size_t kChecksumBytes = 16;
// A chunk is compressed where that saves an eighth. Float32 of a normal distribution lose 8 % at
// level 1, of which 900 MB are unpacked in a second: copying them is quicker, and so is the disk.
constexpr size_t kLeastSaved = 8;

using Checksum = std::array<std::byte, kChecksumBytes>;

Checksum ChecksumOf(std::string_view bytes, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  Checksum checksum;
  std::memcpy(checksum.data(), &hash.low64, 8);
  std::memcpy(checksum.data() + 8, &hash.high64, 8);
  return checksum;
}

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
void Append(std::string& text, const T& value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Takes numbers from the front of `bytes`; once there are too few, all are 0 and `whole` is false.
struct Parser {
  std::string_view bytes;
  bool whole = true;

  std::string_view Take(size_t count) {
    whole = whole && count <= bytes.size();
    if (!whole) return {};
    const std::string_view taken = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return taken;
  }
  template <class T>
  T Number() {
    T value{};
    const std::string_view taken = Take(sizeof value);
    if (whole) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  PrefixHash Hash() {
    const auto low = Number<uint64_t>();
    return {low, Number<uint64_t>()};
  }
};

void AppendHash(std::string& text, const PrefixHash& hash) {
  Append(text, hash.low);
  Append(text, hash.high);
}

}  // namespace

std::string HexName(const PrefixHash& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

Result<PrefixHash> PrefixHashFromHex(std::string_view text) {
  const bool digits = text.size() == 32 && std::ranges::all_of(text, [](char digit) {
                        return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
                      });
  if (!digits) return Fail(ErrorCode::kInvalidArgument, "32 hexadecimal digits are expected");
  const auto half = [&](size_t at) {
    return std::stoull(std::string(text.substr(at, 16)), nullptr, 16);
  };
  return PrefixHash{.low = half(16), .high = half(0)};
}

PrefixHasher::PrefixHasher(std::string_view space) {
  const XXH128_hash_t hash = XXH3_128bits(space.data(), space.size());
  hash_ = {hash.low64, hash.high64};
}

// Two chains that share nothing but the keys: another step of the same key in each.
void PrefixHasher::Add(PrefixKey key) {
  constexpr uint64_t kOther = 0xd1b54a32d192ed03;
  hash_.low = MixBits(hash_.low ^ key);
  hash_.high = MixBits(hash_.high + key * kOther);
}

std::string SealedStateFileHeader(std::string_view fields) {
  std::string text(kMagic);
  Append(text, kStateVersion);
  Append(text, static_cast<uint32_t>(kHeaderStart + fields.size() + kChecksumBytes));
  text += fields;
  text += Text(ChecksumOf(text, 0));
  return text;
}

std::string FormatStateFileHeader(const StateFileHeader& header) {
  std::string rest;
  Append(rest, header.kind);
  Append(rest, static_cast<uint32_t>(header.identity.size()));
  rest += header.identity;
  AppendHash(rest, header.hash);
  AppendHash(rest, header.before);
  Append(rest, header.position);
  Append(rest, header.space_bytes);
  Append(rest, static_cast<uint64_t>(header.pages.size()));
  for (const PrefixHash& page : header.pages) AppendHash(rest, page);
  return SealedStateFileHeader(rest);
}

Result<size_t> StateFileHeaderBytes(std::string_view start) {
  Parser parser{start};
  const std::string_view magic = parser.Take(kMagic.size());
  const auto version = parser.Number<uint32_t>();
  const auto bytes = parser.Number<uint32_t>();
  if (!parser.whole || magic != kMagic) {
    return Fail(ErrorCode::kCorrupt, "not a stored state: it should begin with {}", kMagic);
  }
  if (version != kStateVersion) {
    return Fail(ErrorCode::kCorrupt, "version {} is expected, found {}", kStateVersion, version);
  }
  if (bytes < kHeaderStart + kChecksumBytes || bytes > kMostHeaderBytes) {
    return Fail(ErrorCode::kCorrupt, "no header has {} bytes", bytes);
  }
  return bytes;
}

Result<StateFileHeader> ParseStateFileHeader(std::string_view bytes) {
  FULMEN_ASSIGN(const size_t size, StateFileHeaderBytes(bytes));
  if (bytes.size() != size) {
    return Fail(ErrorCode::kCorrupt, "a header of {} bytes is expected, found {}", size,
                bytes.size());
  }
  const std::string_view text = bytes.substr(0, size - kChecksumBytes);
  if (bytes.substr(text.size()) != Text(ChecksumOf(text, 0))) {
    return Fail(ErrorCode::kCorrupt, "the header's checksum is wrong");
  }
  Parser parser{text.substr(kHeaderStart)};
  StateFileHeader header;
  header.kind = parser.Number<StateFileHeader::Kind>();
  header.identity = parser.Take(parser.Number<uint32_t>());
  header.hash = parser.Hash();
  header.before = parser.Hash();
  header.position = parser.Number<int64_t>();
  header.space_bytes = parser.Number<int64_t>();
  const auto pages = parser.Number<uint64_t>();
  const bool known =
      header.kind == StateFileHeader::Kind::kPage || header.kind == StateFileHeader::Kind::kState;
  // What is left is the hashes of pages; comparing that way round cannot overflow.
  if (!parser.whole || !known || header.position < 1 || header.space_bytes < 0 ||
      parser.bytes.size() % sizeof(PrefixHash) != 0 ||
      pages != parser.bytes.size() / sizeof(PrefixHash)) {
    return Fail(ErrorCode::kCorrupt, "the header contradicts itself");
  }
  header.pages.reserve(pages);
  while (!parser.bytes.empty()) header.pages.push_back(parser.Hash());
  return header;
}

std::array<std::byte, 16> ChunkChecksum(const PrefixHash& file, int64_t number,
                                        std::string_view stored) {
  return ChecksumOf(stored, MixSeed({file.low, file.high, static_cast<uint64_t>(number)}));
}

Status DecodeChunk(std::string_view stored, std::span<std::byte> out) {
  if (stored.size() == out.size()) {
    std::ranges::copy(std::as_bytes(std::span(stored)), out.begin());
    return {};
  }
  const size_t size = ZSTD_decompress(out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(size) != 0) {
    return Fail(ErrorCode::kCorrupt, "a chunk is damaged: {}", ZSTD_getErrorName(size));
  }
  if (size == out.size()) return {};
  return Fail(ErrorCode::kCorrupt, "a chunk should have {} bytes, found {}", out.size(), size);
}

int64_t MostFileBytes(const StateFileHeader& header, std::span<const int64_t> sections) {
  int64_t bytes = std::ssize(FormatStateFileHeader(header));
  for (const int64_t section : sections) {
    constexpr int64_t kChunk = kChunkBytes;
    bytes += section + (section + kChunk - 1) / kChunk * static_cast<int64_t>(kChunkStart);
  }
  return bytes;
}

Result<int64_t> WriteStateFile(const std::string& path, const StateFileHeader& header,
                               std::span<const std::span<const std::byte>> sections) {
  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  const std::string start = FormatStateFileHeader(header);
  FULMEN_TRY(file.Write(start));
  auto written = static_cast<int64_t>(start.size());
  int64_t number = 0;
  std::vector<char> compressed(ZSTD_compressBound(kChunkBytes));
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                   ZSTD_freeCCtx);
  for (std::span<const std::byte> section : sections) {
    while (!section.empty()) {
      const auto raw = section.first(std::min(section.size(), kChunkBytes));
      section = section.subspan(raw.size());
      const size_t size = ZSTD_compressCCtx(context.get(), compressed.data(), compressed.size(),
                                            raw.data(), raw.size(), kCompressionLevel);
      const bool smaller = ZSTD_isError(size) == 0 && size < raw.size() - raw.size() / kLeastSaved;
      const std::string_view stored =
          smaller ? std::string_view(compressed.data(), size) : Text(raw);
      std::string chunk;
      Append(chunk, static_cast<uint32_t>(stored.size()));
      chunk += Text(ChunkChecksum(header.hash, number++, stored));
      FULMEN_TRY(file.Write(chunk));
      FULMEN_TRY(file.Write(stored));
      written += std::ssize(chunk) + std::ssize(stored);
    }
  }
  FULMEN_TRY(file.CommitUnflushed());
  return written;
}

Result<StateFileReader> StateFileReader::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) {
    return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", path,
                ErrnoMessage(errno));
  }
  StateFileReader reader(path, file);
  if (Status status = reader.ReadHeader(); !status) {
    return Fail(status.error().code, "{}: {}", path, status.error().message);
  }
  return reader;
}

StateFileReader::StateFileReader(StateFileReader&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      header_(std::move(other.header_)),
      chunk_(other.chunk_),
      stored_(std::move(other.stored_)) {}

StateFileReader::~StateFileReader() {
  if (file_ >= 0) close(file_);
}

Status StateFileReader::ReadHeader() {
  // A page of the disk has all of most headers; what else it has is read once more.
  std::vector<char> bytes(4096);
  FULMEN_ASSIGN(const size_t found, ReadSome(bytes));
  bytes.resize(found);
  FULMEN_ASSIGN(const size_t size, StateFileHeaderBytes({bytes.data(), bytes.size()}));
  if (size > found) {
    // Not more memory than the file has bytes.
    const off_t all = lseek(file_, 0, SEEK_END);
    if (all < static_cast<off_t>(size)) return Fail(ErrorCode::kCorrupt, "the header is cut off");
    bytes.resize(size);
    lseek(file_, static_cast<off_t>(found), SEEK_SET);
    FULMEN_TRY(ReadAll(std::span(bytes).subspan(found)));
  }
  FULMEN_ASSIGN(header_, ParseStateFileHeader({bytes.data(), size}));
  lseek(file_, static_cast<off_t>(size), SEEK_SET);
  return {};
}

Result<size_t> StateFileReader::ReadSome(std::span<char> bytes) {
  size_t count = 0;
  while (count < bytes.size()) {
    const ssize_t got = read(file_, bytes.data() + count, bytes.size() - count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrorCode::kIo, "{}: {}", path_, ErrnoMessage(errno));
    if (got == 0) break;
    count += static_cast<size_t>(got);
  }
  return count;
}

Status StateFileReader::ReadAll(std::span<char> bytes) {
  FULMEN_ASSIGN(const size_t count, ReadSome(bytes));
  if (count == bytes.size()) return {};
  return Fail(ErrorCode::kCorrupt, "{}: the file is cut off", path_);
}

Status StateFileReader::Read(std::span<std::byte> section) {
  while (!section.empty()) {
    const auto out = section.first(std::min(section.size(), kChunkBytes));
    section = section.subspan(out.size());
    std::array<char, kChunkStart> start;
    FULMEN_TRY(ReadAll(start));
    uint32_t size = 0;
    std::memcpy(&size, start.data(), sizeof size);
    if (size > out.size()) {
      return Fail(ErrorCode::kCorrupt, "{}: a chunk of {} bytes should take no more, found {}",
                  path_, out.size(), size);
    }
    stored_.resize(size);
    FULMEN_TRY(ReadAll(stored_));
    const std::string_view stored(stored_.data(), stored_.size());
    const auto checksum = ChunkChecksum(header_.hash, chunk_++, stored);
    if (std::memcmp(checksum.data(), start.data() + sizeof size, checksum.size()) != 0) {
      return Fail(ErrorCode::kCorrupt, "{}: a chunk's checksum is wrong", path_);
    }
    if (const Status status = DecodeChunk(stored, out); !status) {
      return Fail(ErrorCode::kCorrupt, "{}: {}", path_, status.error().message);
    }
  }
  return {};
}

Status StateFileReader::ExpectEnd() {
  std::array<char, 1> more;
  FULMEN_ASSIGN(const size_t count, ReadSome(more));
  if (count == 0) return {};
  return Fail(ErrorCode::kCorrupt, "{}: the file has bytes after its end", path_);
}

}  // namespace fulmen
