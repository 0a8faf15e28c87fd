#include "train/document_images.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file_io.h"
#include "images/data_url.h"

namespace fulmen {
namespace {

Result<ImageSource> ReadPart(const Json& part, const std::string& folder, std::string where) {
  const Json& path = Member(part, "path");
  const Json& url = Member(Member(part, "image_url"), "url");
  if (path.is_string() && !path.get_ref<const std::string&>().empty()) {
    const std::filesystem::path file = std::filesystem::path(folder) / path.get<std::string>();
    return ImageSource{file.string(), "", std::move(where)};
  }
  if (url.is_string() && IsDataUrl(url.get_ref<const std::string&>())) {
    return ImageSource{"", url.get<std::string>(), std::move(where)};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{}: an image is expected as {{\"type\": \"image\", \"path\": FILE}}, or as an "
              "image_url with a data URL",
              where);
}

}  // namespace

Result<std::vector<ImageSource>> FindImages(const Json& messages, const std::string& folder,
                                            const std::string& where) {
  std::vector<ImageSource> images;
  for (size_t i = 0; messages.is_array() && i < messages.size(); ++i) {
    const Json& content = Member(messages[i], "content");
    for (size_t p = 0; content.is_array() && p < content.size(); ++p) {
      const Json& type = Member(content[p], "type");
      if (type != "image" && type != "image_url") continue;
      FULMEN_ASSIGN(
          images.emplace_back(),
          ReadPart(content[p], folder, fmt::format("{}: messages[{}].content[{}]", where, i, p)));
    }
  }
  return images;
}

Result<TiledImage> ReadImage(const ImageSource& source, const TileRules& tiles) {
  const DecodeLimits limits;
  const std::string where =
      source.file.empty() ? source.where : fmt::format("{}: {}", source.where, source.file);
  auto bytes =
      source.file.empty() ? DecodeDataUrl(source.url, limits.bytes, where) : ReadFile(source.file);
  if (!bytes && !source.file.empty()) {  // the message names the file
    return Fail(bytes.error().code, "{}: {}", source.where, bytes.error().message);
  }
  if (!bytes) return tl::unexpected<Error>(bytes.error());
  return DecodeTiles(*bytes, limits, tiles, where);
}

Result<std::vector<DocumentImage>> ExpandImages(std::span<const TiledImage> images,
                                                int32_t image_token, const std::string& where,
                                                MaskedTokens& document) {
  const auto places = std::ranges::count(document.ids, image_token);
  if (places != std::ssize(images)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: an image is expected for every image token, found {} for {}", where,
                images.size(), places);
  }
  std::vector<DocumentImage> placed;
  MaskedTokens expanded;
  for (size_t i = 0; i < document.ids.size(); ++i) {
    int64_t copies = 1;
    uint8_t flag = document.loss_mask[i];
    if (document.ids[i] == image_token) {
      const TiledImage& image = images[placed.size()];
      placed.push_back(
          {std::ssize(expanded.ids), image.geometry, image.thumbnail.rgb, image.canvas.rgb});
      copies = image.geometry.tokens;
      flag = 0;
    }
    expanded.ids.insert(expanded.ids.end(), static_cast<size_t>(copies), document.ids[i]);
    expanded.loss_mask.insert(expanded.loss_mask.end(), static_cast<size_t>(copies), flag);
  }
  document = std::move(expanded);
  return placed;
}

}  // namespace fulmen
