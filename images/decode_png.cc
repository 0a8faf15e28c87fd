// PNG by libpng, which leaves a function by longjmp where a file is wrong: ReadHeader, ReadPixels
// and ReadEnd hold nothing then that has a destructor.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <utility>

#include "images/decoders.h"

namespace fulmen {
namespace {

class PngReader {
 public:
  explicit PngReader(std::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &OnError, &OnWarning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool ReadHeader(Size& size) {
    if (info_ == nullptr || setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &OnRead);
    // Texts and profiles are compressed and may swell; nobody reads them here.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, kSkipped,
                                static_cast<int>(sizeof(kSkipped) / 5));
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // DecodeLimits follow
    png_read_info(png_, info_);
    size = {static_cast<int64_t>(png_get_image_width(png_, info_)),
            static_cast<int64_t>(png_get_image_height(png_, info_))};
    return true;
  }

  // Red, green and blue of 8 bits, and alpha where there is transparency.
  bool ReadPixels(Image& image, std::vector<uint8_t>& rgba) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_expand(png_);
    png_set_strip_16(png_);
    png_set_gray_to_rgb(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    const bool alpha = png_get_channels(png_, info_) == 4;
    // Interlaced rows are read several times, so that all of them have to be kept until then.
    const bool whole = alpha && passes > 1;
    image.rgb.resize(static_cast<size_t>(image.width * image.height * 3));
    if (alpha) rgba.resize(static_cast<size_t>(image.width * (whole ? image.height : 1) * 4));
    for (int pass = 0; pass < passes; ++pass) {
      for (int64_t y = 0; y < image.height; ++y) {
        uint8_t* to = image.rgb.data() + y * image.width * 3;
        uint8_t* row = alpha ? rgba.data() + (whole ? y * image.width * 4 : 0) : to;
        png_read_row(png_, row, nullptr);
        if (alpha && pass + 1 == passes) FlattenOntoWhite(row, image.width, to);
      }
    }
    return true;
  }
  // Chunks behind the pixels.
  bool ReadEnd() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_end(png_, info_);
    return true;
  }

  std::string_view Exif() const {
    png_bytep data = nullptr;
    png_uint_32 size = 0;
    if (png_get_eXIf_1(png_, info_, &size, &data) == 0) return {};
    return {reinterpret_cast<const char*>(data), size};
  }

  Error Problem(const std::string& where) const {
    if (ended_) {
      return {ErrorCode::kCorrupt,
              fmt::format("{}: expected more of a PNG image, found its end after {} bytes (torn "
                          "file?)",
                          where, bytes_.size())};
    }
    return {ErrorCode::kCorrupt,
            fmt::format("{}: expected a PNG image, found at byte {}: {}", where, read_, problem_)};
  }

 private:
  static constexpr png_byte kSkipped[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT";

  static PngReader& Of(png_structp png) { return *static_cast<PngReader*>(png_get_error_ptr(png)); }
  static void OnRead(png_structp png, png_bytep to, size_t count) {
    PngReader& reader = Of(png);
    if (count > reader.bytes_.size() - reader.read_) {
      reader.ended_ = true;
      png_error(png, "the end");
    }
    std::memcpy(to, reader.bytes_.data() + reader.read_, count);
    reader.read_ += count;
  }
  [[noreturn]] static void OnError(png_structp png, png_const_charp message) {
    std::strncpy(Of(png).problem_, message, sizeof(problem_) - 1);
    png_longjmp(png, 1);
  }
  static void OnWarning(png_structp, png_const_charp) {}

  std::string_view bytes_;
  size_t read_ = 0;
  bool ended_ = false;
  char problem_[128] = "out of memory";
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

Result<Image> DecodePng(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where) {
  PngReader reader(bytes);
  Size size;
  if (!reader.ReadHeader(size)) return tl::unexpected(reader.Problem(where));
  FULMEN_TRY(CheckSize(size, limits, where));
  Image image = Unfilled(size);
  std::vector<uint8_t> rgba;
  if (!reader.ReadPixels(image, rgba) || !reader.ReadEnd()) {
    return tl::unexpected(reader.Problem(where));
  }
  return Upright(std::move(image), ExifOrientation(reader.Exif()));
}

}  // namespace fulmen
