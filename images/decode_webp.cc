// WebP by libwebp; what moves, its first frame on its canvas, by libwebpdemux.
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "images/decoders.h"

namespace fulmen {
namespace {

constexpr size_t kRiffHeader = 8;

tl::unexpected<Error> Torn(std::string_view bytes, const std::string& where) {
  return Fail(ErrorCode::kCorrupt, "{}: expected a WebP image of {} bytes, found {} (torn file?)",
              where, bytes.size() < kRiffHeader ? 0 : LittleEndian32(bytes, 4) + kRiffHeader,
              bytes.size());
}

// The canvas after the first frame, in red, green, blue and alpha; alive as long as the decoder.
uint8_t* FirstFrame(WebPAnimDecoder* decoder) {
  uint8_t* rgba = nullptr;
  int end_of_frame = 0;
  if (decoder == nullptr || WebPAnimDecoderGetNext(decoder, &rgba, &end_of_frame) == 0) {
    return nullptr;
  }
  return rgba;
}

}  // namespace

Result<Image> DecodeWebp(std::string_view bytes, const DecodeLimits& limits,
                         const std::string& where) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> parts(
      WebPDemuxPartial(&data, &state), &WebPDemuxDelete);
  if (state == WEBP_DEMUX_PARSING_HEADER || state == WEBP_DEMUX_PARSED_HEADER) {
    return Torn(bytes, where);
  }
  if (parts == nullptr || state != WEBP_DEMUX_DONE) {
    return Fail(ErrorCode::kCorrupt,
                "{}: expected a WebP image, found one whose parts contradict each other", where);
  }
  const Size size{WebPDemuxGetI(parts.get(), WEBP_FF_CANVAS_WIDTH),
                  WebPDemuxGetI(parts.get(), WEBP_FF_CANVAS_HEIGHT)};
  FULMEN_TRY(CheckSize(size, limits, where));

  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(
      WebPAnimDecoderNew(&data, nullptr), &WebPAnimDecoderDelete);
  const uint8_t* rgba = FirstFrame(decoder.get());
  if (rgba == nullptr) {
    return Fail(ErrorCode::kCorrupt,
                "{}: expected a WebP image, found one whose pixels cannot be decoded", where);
  }
  Image image = Unfilled(size);
  image.rgb.resize(static_cast<size_t>(size.width * size.height * 3));
  const bool alpha = (WebPDemuxGetI(parts.get(), WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG) != 0;
  const int64_t pixels = size.width * size.height;
  if (alpha) {
    FlattenOntoWhite(rgba, pixels, image.rgb.data());
  } else {  // what no frame covers is black then
    for (int64_t i = 0; i < pixels; ++i) std::copy_n(rgba + i * 4, 3, image.rgb.data() + i * 3);
  }

  int orientation = 1;
  WebPChunkIterator chunk;
  if (WebPDemuxGetChunk(parts.get(), "EXIF", 1, &chunk) != 0) {
    orientation =
        ExifOrientation({reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size});
  }
  WebPDemuxReleaseChunkIterator(&chunk);
  return Upright(std::move(image), orientation);
}

}  // namespace fulmen
