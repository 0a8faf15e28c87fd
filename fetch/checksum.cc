#include "fetch/checksum.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr std::array<std::pair<Checksum::Kind, const char*>, 2> kNames = {
    std::pair(Checksum::Kind::kSha256, "sha256"), std::pair(Checksum::Kind::kGitBlob, "git-blob")};

std::string HexDigits(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

class Hash {
 public:
  explicit Hash(const EVP_MD* kind) {
    FULMEN_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1,
                 "OpenSSL has no such digest");
  }
  void Add(const void* bytes, size_t size) {
    FULMEN_CHECK(EVP_DigestUpdate(context_.get(), bytes, size) == 1, "a digest failed");
  }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    FULMEN_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1, "a digest failed");
    return HexDigits({digest.data(), size});
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free};
};

}  // namespace

std::string Checksum::Text() const {
  const auto* const name =
      std::ranges::find(kNames, kind, [](const auto& each) { return each.first; });
  return fmt::format("{}:{}", name->second, hex);
}

std::optional<Checksum> ParseChecksum(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  for (const auto& [kind, name] : kNames) {
    if (text.substr(0, colon) != name) continue;
    const std::string_view hex = text.substr(std::min(colon + 1, text.size()));
    if (IsHexOf(kind, hex)) return Checksum{kind, std::string(hex)};
  }
  return std::nullopt;
}

bool IsHexOf(Checksum::Kind kind, std::string_view hex) {
  return hex.size() == (kind == Checksum::Kind::kSha256 ? 64 : 40) &&
         hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Checksum> ComputeChecksum(Checksum::Kind kind, int file, int64_t size,
                                 const std::string& name, const std::function<bool()>& stopped) {
  const bool git = kind == Checksum::Kind::kGitBlob;
  Hash hash(git ? EVP_sha1() : EVP_sha256());
  if (git) {
    const std::string start = fmt::format("blob {}", size);
    hash.Add(start.c_str(), start.size() + 1);
  }
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> buffer(size_t{1} << 20);
  for (int64_t done = 0; done < size;) {
    if (stopped()) return Fail(ErrorCode::kCancelled, "stopped while reading {}", name);
    const auto most =
        static_cast<size_t>(std::min(size - done, static_cast<int64_t>(buffer.size())));
    const ssize_t count = pread(file, buffer.data(), most, done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrorCode::kIo, "{}: {}", name, ErrnoMessage(errno));
    if (count == 0) {
      return Fail(ErrorCode::kIo, "{}: {} bytes are expected, found {}", name, size, done);
    }
    hash.Add(buffer.data(), static_cast<size_t>(count));
    done += count;
  }
  return Checksum{kind, hash.Hex()};
}

}  // namespace fulmen
