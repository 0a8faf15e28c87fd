// Files of stored states: their format, and every check that needs no other file. Internal to
// engine/state_store.cc.
//
// A file is a header and a body. The header says what the file is and has a checksum of its own, so
// that a folder of many files is read quickly. The body is bytes of known sizes in chunks of at
// most kChunkBytes, each compressed with zstd where that is worth it, each with the checksum
// (XXH3, 128 bits) of what is stored. The checksum is seeded with the file's own hash and the
// chunk's number, so that a chunk of another file or place is no more accepted than a damaged one.
//
// All numbers are in the byte order of the machine: other machines have other instruction sets,
// and with them other identities.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_io.h"
#include "base/status.h"
#include "engine/prefix_tree.h"

namespace fulmen {

// Of a space and the keys up to some position. 128 bits, so that no two meet by chance; whoever
// wants them to meet can make them, so keys are compared besides.
struct PrefixHash {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const PrefixHash&) const = default;
};
struct PrefixHashBits {
  size_t operator()(const PrefixHash& hash) const { return hash.low; }
};
std::string HexName(const PrefixHash& hash);  // 32 digits
// The hash whose HexName `text` is.
Result<PrefixHash> PrefixHashFromHex(std::string_view text);

// The hashes at every position of a sequence, one after another.
class PrefixHasher {
 public:
  explicit PrefixHasher(std::string_view space);
  void Add(PrefixKey key);
  const PrefixHash& hash() const { return hash_; }

 private:
  PrefixHash hash_;
};

struct StateFileHeader {
  enum class Kind : uint32_t { kPage = 1, kState = 2 };
  Kind kind = Kind::kState;
  std::string identity;           // StateIdentity::Text()
  PrefixHash hash;                // at the position; the file's name
  PrefixHash before;              // where the page begins; of a state: before all keys
  int64_t position = 0;           // keys read
  int64_t space_bytes = 0;        // of the namespace, with which the body begins
  std::vector<PrefixHash> pages;  // of a state: its whole pages
  bool operator==(const StateFileHeader&) const = default;
};

// So many bytes of a file say how long its header is.
constexpr size_t kHeaderStart = 16;
constexpr size_t kMostHeaderBytes = size_t{1} << 28;

std::string FormatStateFileHeader(const StateFileHeader& header);
// `fields`, as they stand in a header, with what stands before and after them.
std::string SealedStateFileHeader(std::string_view fields);
// Of all the header, from its first kHeaderStart bytes.
Result<size_t> StateFileHeaderBytes(std::string_view start);
Result<StateFileHeader> ParseStateFileHeader(std::string_view bytes);

constexpr size_t kChunkBytes = size_t{1} << 20;
// What stands before a chunk's stored bytes.
constexpr size_t kChunkStart = 4 + 16;
constexpr int kCompressionLevel = 1;

// The checksum of chunk `number` of a file.
std::array<std::byte, 16> ChunkChecksum(const PrefixHash& file, int64_t number,
                                        std::string_view stored);
// Fills `out`, of at most kChunkBytes, from what is stored of it: compressed, or as it is where
// both are of one size.
Status DecodeChunk(std::string_view stored, std::span<std::byte> out);

// Most bytes of a file with such a header and a body of `sections`.
int64_t MostFileBytes(const StateFileHeader& header, std::span<const int64_t> sections);

// Writes one file, which appears at `path` whole or not at all. Returns its size.
Result<int64_t> WriteStateFile(const std::string& path, const StateFileHeader& header,
                               std::span<const std::span<const std::byte>> sections);

// Reads one file, its header first. Errors: kNotFound when it is not there, kIo when the system
// refuses, kCorrupt for all that is wrong with its bytes. Not thread safe.
class StateFileReader {
 public:
  static Result<StateFileReader> Open(const std::string& path);
  ~StateFileReader();
  StateFileReader(StateFileReader&& other) noexcept;
  StateFileReader& operator=(StateFileReader&&) = delete;

  const StateFileHeader& header() const { return header_; }
  // The next section of the body.
  Status Read(std::span<std::byte> section);
  // That the file ends here.
  Status ExpectEnd();

 private:
  StateFileReader(std::string path, int file) : path_(std::move(path)), file_(file) {}
  Status ReadHeader();
  // Reads up to the end of the file at most; returns how many bytes.
  Result<size_t> ReadSome(std::span<char> bytes);
  Status ReadAll(std::span<char> bytes);

  std::string path_;
  int file_;
  StateFileHeader header_;
  int64_t chunk_ = 0;  // the next one's number
  std::vector<char> stored_ = std::vector<char>();
};

}  // namespace fulmen
