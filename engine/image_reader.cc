#include "engine/image_reader.h"

#include <fmt/core.h>

#include "engine/digest.h"
#include "images/data_url.h"

namespace fulmen {

Result<std::shared_ptr<const TiledImage>> ImageReader::Read(std::string_view url,
                                                            const std::string& where) const {
  if (!IsDataUrl(url)) {
    if (!fetch_) {
      return Fail(ErrorCode::kUnsupported,
                  "{}: an image is expected as a data URL, as in data:image/png;base64,…; others "
                  "are not fetched here",
                  where);
    }
    FULMEN_ASSIGN(const std::string bytes, fetch_(std::string(url)));
    return ReadBytes(bytes, where);
  }
  const std::string key = Sha256(url);
  if (auto known = recent_->Find(key)) return known;
  FULMEN_ASSIGN(const std::string bytes, DecodeDataUrl(url, limits_.bytes, where));
  FULMEN_ASSIGN(auto image, ReadBytes(bytes, where));
  recent_->Add(key, image);
  return image;
}

Result<std::shared_ptr<const TiledImage>> ImageReader::ReadBytes(std::string_view bytes,
                                                                 const std::string& where) const {
  FULMEN_ASSIGN(TiledImage tiles, DecodeTiles(bytes, limits_, vision_.tiles, where));
  return std::make_shared<const TiledImage>(std::move(tiles));
}

std::shared_ptr<const ImageReader> ImageReaderFor(const Model& model, DecodeLimits limits,
                                                  ImageReader::Fetch fetch) {
  if (!model.config.vision) return nullptr;
  return std::make_shared<const ImageReader>(*model.config.vision, limits, std::move(fetch));
}

std::vector<ImagePart> ImageParts(const Json& messages) {
  std::vector<ImagePart> images;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& content = Member(messages[i], "content");
    for (size_t p = 0; content.is_array() && p < content.size(); ++p) {
      const Json& type = Member(content[p], "type");
      if (type != "image_url" && type != "image") continue;
      const Json& url = Member(Member(content[p], "image_url"), "url");
      const Json& path = Member(content[p], "path");
      images.push_back({url.is_string() ? std::string_view(url.get_ref<const std::string&>()) : "",
                        path.is_string() ? path.get<std::string>()
                                         : fmt::format("messages[{}].content[{}]", i, p)});
    }
  }
  return images;
}

}  // namespace fulmen
