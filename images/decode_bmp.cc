// BMP by stb_image, which takes a file's header at its word: it reads zeros behind the end, and
// whatever lies in memory for colours that a palette lacks. So the header is read here first, and a
// picture with a palette handed over with a whole one.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <memory>

#include "images/decoders.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_FAILURE_STRINGS
#include <stb/stb_image.h>

namespace fulmen {
namespace {

constexpr size_t kFileHeader = 14;
constexpr size_t kOldHeader = 12;        // of OS/2
constexpr size_t kCommonHeader = 40;     // of Windows
constexpr size_t kMasksWithAlpha = 108;  // from here on
constexpr uint32_t kNotCompressed = 0;
constexpr uint32_t kBitFields = 3;

struct Header {
  size_t pixels = 0;  // their first byte
  size_t header = 0;  // bytes
  Size size;
  uint32_t bits = 0;  // per pixel
  uint32_t compression = kNotCompressed;
  uint32_t colours = 0;                // 0: all
  std::array<uint32_t, 4> masks = {};  // of red, green, blue, alpha; 0 where there are none

  bool has_palette() const { return bits <= 8; }
  bool has_alpha() const { return masks[3] != 0; }
};

tl::unexpected<Error> Torn(uint64_t expected, std::string_view bytes, const std::string& where) {
  return Fail(ErrorCode::kCorrupt, "{}: expected a BMP image of {} bytes, found {} (torn file?)",
              where, expected, bytes.size());
}

void ReadMasks(std::string_view bytes, Header& header) {
  if (header.compression != kBitFields) {
    if (header.bits == 16) header.masks = {0x7C00, 0x3E0, 0x1F, 0};
    return;
  }
  const size_t count = header.header >= kMasksWithAlpha ? 4 : 3;
  for (size_t i = 0; i < count; ++i) {
    header.masks[i] = LittleEndian32(bytes, kFileHeader + kCommonHeader + 4 * i);
  }
}

Result<Header> ReadHeader(std::string_view bytes, const std::string& where) {
  const size_t least = kFileHeader + kOldHeader;
  if (bytes.size() < least) return Torn(least, bytes, where);
  Header header;
  header.pixels = LittleEndian32(bytes, 10);
  header.header = LittleEndian32(bytes, kFileHeader);
  if (header.header == kOldHeader) {
    header.size = {LittleEndian16(bytes, 18), LittleEndian16(bytes, 20)};
    header.bits = LittleEndian16(bytes, 24);
  } else if (header.header == kCommonHeader || header.header == 108 || header.header == 124) {
    size_t headers = kFileHeader + header.header;
    if (bytes.size() < headers) return Torn(headers, bytes, where);
    header.compression = LittleEndian32(bytes, 30);
    // Masks follow the common header, and are part of the later ones.
    if (header.header == kCommonHeader && header.compression == kBitFields) headers += 12;
    if (bytes.size() < headers) return Torn(headers, bytes, where);
    header.size.width = static_cast<int32_t>(LittleEndian32(bytes, 18));
    // Negative where rows begin at the top.
    header.size.height = std::abs(int64_t{static_cast<int32_t>(LittleEndian32(bytes, 22))});
    header.bits = LittleEndian16(bytes, 28);
    header.colours = LittleEndian32(bytes, 46);
    ReadMasks(bytes, header);
  } else {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected a BMP header of 12, 40, 108 or 124 bytes, found one of {}", where,
                header.header);
  }
  const bool known = std::ranges::count(std::array{1U, 4U, 8U, 16U, 24U, 32U}, header.bits) != 0;
  if (!known || (header.compression != kNotCompressed && header.compression != kBitFields)) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected BMP pixels of 1, 4, 8, 16, 24 or 32 bits without compression, found "
                "{} bits and compression {}",
                where, header.bits, header.compression);
  }
  return header;
}

// The file again, with the common header and a palette of all colours; those that it lacks are
// grey, as with Pillow.
std::string WithWholePalette(std::string_view bytes, const Header& header) {
  const size_t colours = size_t{1} << header.bits;
  const size_t entry = header.header == kOldHeader ? 3 : 4;
  const size_t palette = kFileHeader + header.header;
  const size_t room = (std::max(header.pixels, palette) - palette) / entry;
  const size_t wanted = header.colours == 0 ? colours : header.colours;
  const size_t held = std::min({room, wanted, colours});
  std::string whole(kFileHeader + kCommonHeader, '\0');
  const auto put = [&](size_t at, uint32_t value, size_t count) {
    for (size_t i = 0; i < count; ++i) whole[at + i] = static_cast<char>(value >> (8 * i));
  };
  std::copy_n(bytes.begin(), kFileHeader, whole.begin());
  put(10, static_cast<uint32_t>(whole.size() + 4 * colours), 4);
  put(14, kCommonHeader, 4);
  put(18, static_cast<uint32_t>(header.size.width), 4);
  put(22, static_cast<uint32_t>(header.size.height), 4);
  if (header.header != kOldHeader) std::copy_n(bytes.begin() + 22, 4, whole.begin() + 22);
  put(26, 1, 2);
  put(28, header.bits, 2);
  for (size_t i = 0; i < colours; ++i) {
    if (i < held) {
      whole += bytes.substr(palette + i * entry, 3);
    } else {
      whole.append(3, static_cast<char>(i));
    }
    whole += '\0';
  }
  whole += bytes.substr(header.pixels);
  return whole;
}

// stb_image widens 5 and 6 bits to 8 by repeating them, Pillow by scaling.
void ScaleNarrowChannels(const Header& header, Image& image) {
  for (size_t c = 0; c < 3; ++c) {
    const int bits = std::popcount(header.masks[c]);
    const int most = (1 << bits) - 1;
    for (size_t i = c; i < image.rgb.size(); i += 3) {
      image.rgb[i] = static_cast<uint8_t>((image.rgb[i] >> (8 - bits)) * 255 / most);
    }
  }
}

}  // namespace

Result<Image> DecodeBmp(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where) {
  FULMEN_ASSIGN(const Header header, ReadHeader(bytes, where));
  FULMEN_TRY(CheckSize(header.size, limits, where));
  const int64_t row_bytes = (header.size.width * header.bits + 31) / 32 * 4;
  const auto expected = header.pixels + static_cast<uint64_t>(row_bytes * header.size.height);
  if (bytes.size() < expected) return Torn(expected, bytes, where);
  std::string whole;
  if (header.has_palette()) {
    whole = WithWholePalette(bytes, header);
    bytes = whole;
  }
  const int channels = header.has_alpha() ? 4 : 3;
  int width = 0, height = 0, stored = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                            static_cast<int>(bytes.size()), &width, &height, &stored, channels),
      &stbi_image_free);
  if (pixels == nullptr || Size{width, height} != header.size) {
    return Fail(ErrorCode::kCorrupt,
                "{}: expected a BMP image, found one whose header contradicts itself", where);
  }
  Image image = Unfilled(header.size);
  const int64_t count = image.width * image.height;
  if (header.has_alpha()) {
    image.rgb.resize(static_cast<size_t>(count * 3));
    FlattenOntoWhite(pixels.get(), count, image.rgb.data());
  } else {
    image.rgb.assign(pixels.get(), pixels.get() + count * 3);
  }
  if (header.bits == 16) ScaleNarrowChannels(header, image);
  return image;
}

}  // namespace fulmen
