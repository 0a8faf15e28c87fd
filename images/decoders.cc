#include "images/decoders.h"

#include <libexif/exif-data.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace fulmen {

Status CheckSize(Size size, const DecodeLimits& limits, const std::string& where) {
  if (size.width <= 0 || size.height <= 0) {
    return Fail(ErrorCode::kCorrupt, "{}: an image of {} x {} pixels has nothing to see", where,
                size.width, size.height);
  }
  if (size.width > limits.pixels / size.height) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the image has {} x {} pixels, at most {} are allowed", where, size.width,
                size.height, limits.pixels);
  }
  return {};
}

Image Unfilled(Size size) {
  Image image{size.width, size.height, {}};
  image.rgb.reserve(static_cast<size_t>(size.width * size.height * 3));
#ifdef MADV_HUGEPAGE
  // A third of the time that a large JPEG takes would otherwise be spent on page faults. Advice
  // that is not taken does no harm.
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(image.rgb.data());
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (begin + image.rgb.capacity()) / kHugePage * kHugePage;
  if (first < end) madvise(image.rgb.data() + (first - begin), end - first, MADV_HUGEPAGE);
#endif
  return image;
}

void FlattenOntoWhite(const uint8_t* rgba, int64_t count, uint8_t* rgb) {
  for (int64_t i = 0; i < count; ++i, rgba += 4, rgb += 3) {
    const uint32_t alpha = rgba[3];
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>((rgba[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}

int ExifOrientation(std::string_view exif) {
  // libexif reads only what has this header, and of a length that it can count.
  using namespace std::string_view_literals;
  constexpr auto header = "Exif\0\0"sv;
  std::string text(exif.starts_with(header) ? ""sv : header);
  text += exif.substr(0, size_t{1} << 20);  // the first directory stands near the start
  const std::unique_ptr<ExifData, decltype(&exif_data_unref)> data(exif_data_new(),
                                                                   &exif_data_unref);
  if (data == nullptr) return 1;
  // Without this, it would mend what it has read.
  exif_data_unset_option(data.get(), EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
  exif_data_load_data(data.get(), reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<unsigned>(text.size()));
  const ExifEntry* entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (entry == nullptr || entry->format != EXIF_FORMAT_SHORT || entry->size < 2) return 1;
  const int orientation = exif_get_short(entry->data, exif_data_get_byte_order(data.get()));
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

Image Upright(Image stored, int orientation) {
  if (orientation == 1) return stored;
  // From 5 on, rows of the file are columns of the picture; the others are mirrored or turned.
  const bool swapped = orientation >= 5;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = Unfilled(swapped ? Size{stored.height, stored.width} : stored.size());
  upright.rgb.resize(stored.rgb.size());
  // Of stored pixels, how far the next to the right and the next below lie apart there.
  int64_t right = from_right ? -3 : 3;
  int64_t below = from_bottom ? -stored.width * 3 : stored.width * 3;
  const uint8_t* corner =
      stored.row(from_bottom ? stored.height - 1 : 0) + (from_right ? (stored.width - 1) * 3 : 0);
  if (swapped) std::swap(right, below);
  // By squares that fit in a cache: along one side or the other, rows are left at every pixel.
  constexpr int64_t kSquare = 32;
  for (int64_t top = 0; top < upright.height; top += kSquare) {
    for (int64_t left = 0; left < upright.width; left += kSquare) {
      const int64_t columns = std::min(kSquare, upright.width - left);
      for (int64_t y = top; y < std::min(top + kSquare, upright.height); ++y) {
        const uint8_t* from = corner + y * below + left * right;
        uint8_t* to = upright.rgb.data() + (y * upright.width + left) * 3;
        for (int64_t x = 0; x < columns; ++x, to += 3, from += right) {
          to[0] = from[0];
          to[1] = from[1];
          to[2] = from[2];
        }
      }
    }
  }
  return upright;
}

uint32_t LittleEndian16(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]) |
         static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + 1])) << 8;
}

uint32_t LittleEndian32(std::string_view bytes, size_t at) {
  return LittleEndian16(bytes, at) | LittleEndian16(bytes, at + 2) << 16;
}

}  // namespace fulmen
