// GIF by giflib: the first frame on its canvas, which is the background where the frame does not
// reach: transparent if the frame has a transparent colour, else the first colour of its palette.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "images/decoders.h"

namespace fulmen {
namespace {

struct Source {
  std::string_view bytes;
  size_t read = 0;
  bool ended = false;
};

int Read(GifFileType* gif, GifByteType* to, int count) {
  auto& source = *static_cast<Source*>(gif->UserData);
  const size_t left = source.bytes.size() - source.read;
  const size_t given = std::min(left, static_cast<size_t>(std::max(count, 0)));
  source.ended = source.ended || given < static_cast<size_t>(count);
  std::copy_n(source.bytes.data() + source.read, given, to);
  source.read += given;
  return static_cast<int>(given);
}

class GifReader {
 public:
  GifReader(std::string_view bytes, const std::string& where) : source_{bytes}, where_(where) {
    gif_ = DGifOpen(&source_, &Read, &error_);
  }
  ~GifReader() {
    if (gif_ != nullptr) DGifCloseFile(gif_, nullptr);
  }
  GifReader(const GifReader&) = delete;
  GifReader& operator=(const GifReader&) = delete;

  Result<Image> Decode(const DecodeLimits& limits);

 private:
  tl::unexpected<Error> Problem() const;
  // Up to and with the description of the first frame.
  Status FindFrame();
  Status ReadFrame(std::array<std::array<uint8_t, 3>, 256> colours, Image& canvas);
  std::array<std::array<uint8_t, 3>, 256> Colours() const;

  Source source_;
  const std::string& where_;
  int error_ = 0;
  GifFileType* gif_ = nullptr;
  std::optional<uint8_t> transparent_;
};

tl::unexpected<Error> GifReader::Problem() const {
  if (source_.ended) {
    return Fail(ErrorCode::kCorrupt,
                "{}: expected more of a GIF image, found its end after {} bytes (torn file?)",
                where_, source_.bytes.size());
  }
  const char* message = GifErrorString(gif_ != nullptr ? gif_->Error : error_);
  return Fail(ErrorCode::kCorrupt, "{}: expected a GIF image, found at byte {}: {}", where_,
              source_.read, message != nullptr ? message : "no image");
}

Status GifReader::FindFrame() {
  if (gif_ == nullptr) return Problem();
  for (;;) {
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(gif_, &type) == GIF_ERROR) return Problem();
    if (type == IMAGE_DESC_RECORD_TYPE) break;
    if (type == TERMINATE_RECORD_TYPE) {
      return Fail(ErrorCode::kCorrupt, "{}: expected an image in the GIF file, found none", where_);
    }
    if (type != EXTENSION_RECORD_TYPE) continue;
    int code = 0;
    GifByteType* block = nullptr;  // its length, then its bytes
    if (DGifGetExtension(gif_, &code, &block) == GIF_ERROR) return Problem();
    while (block != nullptr) {
      if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && (block[1] & 1) != 0) {
        transparent_ = block[4];
      }
      if (DGifGetExtensionNext(gif_, &block) == GIF_ERROR) return Problem();
    }
  }
  if (DGifGetImageDesc(gif_) == GIF_ERROR) return Problem();
  return {};
}

// Of indices without a colour, Pillow's: grey.
std::array<std::array<uint8_t, 3>, 256> GifReader::Colours() const {
  std::array<std::array<uint8_t, 3>, 256> colours;
  for (size_t i = 0; i < colours.size(); ++i) colours[i].fill(static_cast<uint8_t>(i));
  const ColorMapObject* map =
      gif_->Image.ColorMap != nullptr ? gif_->Image.ColorMap : gif_->SColorMap;
  for (int i = 0; map != nullptr && i < map->ColorCount; ++i) {
    const GifColorType& colour = map->Colors[i];
    colours[static_cast<size_t>(i)] = {colour.Red, colour.Green, colour.Blue};
  }
  if (transparent_) colours[*transparent_].fill(255);  // on white
  return colours;
}

Status GifReader::ReadFrame(std::array<std::array<uint8_t, 3>, 256> colours, Image& canvas) {
  const GifImageDesc& frame = gif_->Image;
  std::vector<uint8_t> row(static_cast<size_t>(frame.Width));
  struct Pass {
    int first;
    int step;
  };
  constexpr std::array<Pass, 4> interlaced = {Pass{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  constexpr std::array<Pass, 1> plain = {Pass{0, 1}};
  const std::span<const Pass> passes =
      frame.Interlace ? std::span<const Pass>(interlaced) : std::span<const Pass>(plain);
  for (const auto [first, step] : passes) {
    for (int y = first; y < frame.Height; y += step) {
      if (DGifGetLine(gif_, row.data(), frame.Width) == GIF_ERROR) return Problem();
      uint8_t* to = canvas.rgb.data() + ((frame.Top + y) * canvas.width + frame.Left) * 3;
      for (const uint8_t index : row) to = std::copy_n(colours[index].data(), 3, to);
    }
  }
  return {};
}

Result<Image> GifReader::Decode(const DecodeLimits& limits) {
  FULMEN_TRY(FindFrame());
  const GifImageDesc& frame = gif_->Image;
  FULMEN_TRY(CheckSize({frame.Width, frame.Height}, limits, where_));
  // A frame that leaves the canvas widens it.
  const Size size{std::max(gif_->SWidth, frame.Left + frame.Width),
                  std::max(gif_->SHeight, frame.Top + frame.Height)};
  FULMEN_TRY(CheckSize(size, limits, where_));
  const auto colours = Colours();
  Image canvas = Unfilled(size);
  canvas.rgb.resize(static_cast<size_t>(size.width * size.height * 3));
  const auto& background = colours[transparent_.value_or(0)];
  for (auto at = canvas.rgb.begin(); at != canvas.rgb.end();) {
    at = std::copy_n(background.data(), 3, at);
  }
  FULMEN_TRY(ReadFrame(colours, canvas));
  return canvas;
}

}  // namespace

Result<Image> DecodeGif(std::string_view bytes, const DecodeLimits& limits,
                        const std::string& where) {
  return GifReader(bytes, where).Decode(limits);
}

}  // namespace fulmen
