// JPEG by libjpeg-turbo with its default settings (the exact integer transform, smooth upsampling),
// which are Pillow's. It leaves a function by longjmp where a file is wrong: those that it may
// leave hold nothing then that has a destructor.
#include <cstddef>
#include <cstdio>
// It needs the two before it.
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <utility>

#include "images/decoders.h"

namespace fulmen {
namespace {

// A progressive file may hold any number of scans, each of which costs a pass over all pixels.
constexpr int kMostScans = 100;

class JpegReader {
 public:
  explicit JpegReader(std::string_view bytes) : bytes_(bytes) {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = &OnError;
    // Pillow, too, shows what it can of a picture with damaged parts.
    errors_.emit_message = [](j_common_ptr, int) {};
    errors_.output_message = [](j_common_ptr) {};
    jpeg_.client_data = this;
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool ReadHeader() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    source_.next_input_byte = reinterpret_cast<const JOCTET*>(bytes_.data());
    source_.bytes_in_buffer = bytes_.size();
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = &OnEnd;
    source_.skip_input_data = &OnSkip;
    source_.resync_to_restart = &jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    jpeg_.src = &source_;
    progress_.progress_monitor = &OnProgress;
    jpeg_.progress = &progress_;
    jpeg_save_markers(&jpeg_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&jpeg_, TRUE);
    return true;
  }
  Size size() const { return {jpeg_.image_width, jpeg_.image_height}; }
  int channels() const { return jpeg_.num_components; }

  // Valid until ReadPixels, which frees it.
  std::string_view Exif() const {
    using namespace std::string_view_literals;
    for (jpeg_saved_marker_ptr marker = jpeg_.marker_list; marker != nullptr;
         marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (data.starts_with("Exif\0"sv)) return data;
    }
    return {};
  }

  // Appends to `rgb`, which has room. `row` is scratch memory for a row of CMYK or grey.
  bool ReadPixels(std::vector<uint8_t>& row, std::vector<uint8_t>& rgb) {
    if (setjmp(jump_) != 0) return false;
    const int64_t width = jpeg_.image_width;
    jpeg_.out_color_space = channels() == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      uint8_t* pixels = row.data();
      jpeg_read_scanlines(&jpeg_, &pixels, 1);
      if (channels() == 4) CmykToRgb(row.data(), width, row.data());
      rgb.insert(rgb.end(), row.data(), row.data() + width * 3);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  Error Problem(const std::string& where) {
    if (ended_) {
      return {ErrorCode::kCorrupt,
              fmt::format("{}: expected more of a JPEG image, found its end after {} bytes (torn "
                          "file?)",
                          where, bytes_.size())};
    }
    char message[JMSG_LENGTH_MAX];
    errors_.format_message(reinterpret_cast<j_common_ptr>(&jpeg_), message);
    return {ErrorCode::kCorrupt,
            fmt::format("{}: expected a JPEG image, found at byte {}: {}", where,
                        bytes_.size() - source_.bytes_in_buffer, message)};
  }

 private:
  static JpegReader& Of(void* client_data) { return *static_cast<JpegReader*>(client_data); }
  [[noreturn]] static void OnError(j_common_ptr jpeg) {
    std::longjmp(Of(jpeg->client_data).jump_, 1);  // NOLINT: libjpeg has no other way out
  }
  static boolean OnEnd(j_decompress_ptr jpeg) {
    Of(jpeg->client_data).ended_ = true;
    ERREXIT(jpeg, JERR_INPUT_EOF);
    return FALSE;
  }
  static void OnSkip(j_decompress_ptr jpeg, long count) {  // NOLINT: libjpeg's type
    if (count <= 0) return;
    if (static_cast<size_t>(count) > jpeg->src->bytes_in_buffer) OnEnd(jpeg);
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= static_cast<size_t>(count);
  }
  static void OnProgress(j_common_ptr jpeg) {
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMostScans) {
      ERREXIT(jpeg, JERR_BAD_PROGRESSION);
    }
  }
  // Adobe's programs store CMYK inverted, and nobody else stores it. `rgb` may be `inverted`.
  static void CmykToRgb(const uint8_t* inverted, int64_t count, uint8_t* rgb) {
    for (int64_t i = 0; i < count; ++i, inverted += 4, rgb += 3) {
      const int light = inverted[3];
      for (int c = 0; c < 3; ++c) {
        const int product = (255 - inverted[c]) * light + 128;
        rgb[c] = static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8));
      }
    }
  }

  std::string_view bytes_;
  bool ended_ = false;
  jpeg_decompress_struct jpeg_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_source_mgr source_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf jump_;
};

}  // namespace

Result<Image> DecodeJpeg(std::string_view bytes, const DecodeLimits& limits,
                         const std::string& where) {
  JpegReader reader(bytes);
  if (!reader.ReadHeader()) return tl::unexpected(reader.Problem(where));
  FULMEN_TRY(CheckSize(reader.size(), limits, where));
  if (const int channels = reader.channels(); channels != 1 && channels != 3 && channels != 4) {
    return Fail(ErrorCode::kUnsupported,
                "{}: expected a JPEG image of 1, 3 or 4 channels, found {}", where, channels);
  }
  const int orientation = ExifOrientation(reader.Exif());
  Image image = Unfilled(reader.size());
  std::vector<uint8_t> row(static_cast<size_t>(image.width * 4));
  if (!reader.ReadPixels(row, image.rgb)) return tl::unexpected(reader.Problem(where));
  return Upright(std::move(image), orientation);
}

}  // namespace fulmen
