// What a host says the bytes of a file sum up to.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

struct Checksum {
  enum class Kind : uint8_t {
    kSha256,   // of the bytes: what Git LFS knows a large file by
    kGitBlob,  // SHA-1 of "blob SIZE", a NUL and the bytes: what Git knows a small one by
  };
  Kind kind = Kind::kSha256;
  std::string hex;  // in lower case

  bool operator==(const Checksum&) const = default;
  // "sha256:…" or "git-blob:…", which ParseChecksum reads.
  std::string Text() const;
};

std::optional<Checksum> ParseChecksum(std::string_view text);
// Whether `hex` has the digits of such a checksum.
bool IsHexOf(Checksum::Kind kind, std::string_view hex);

// Reads the `size` bytes that the open file `file` has; `name` is for errors. `stopped` is asked
// now and then and ends it with kCancelled.
Result<Checksum> ComputeChecksum(Checksum::Kind kind, int file, int64_t size,
                                 const std::string& name, const std::function<bool()>& stopped);

}  // namespace fulmen
