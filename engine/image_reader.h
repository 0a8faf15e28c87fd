// Images as messages give them, made ready for the model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/recent_images.h"
#include "images/decode.h"
#include "images/tiles.h"
#include "model/vision_config.h"
#include "model/weights.h"

namespace fulmen {

// Thread safe.
class ImageReader {
 public:
  // The bytes of a file that is not in the message itself.
  using Fetch = std::function<Result<std::string>(const std::string& url)>;

  // Of a model. Without `fetch`, images come as data URLs alone.
  explicit ImageReader(VisionConfig vision, DecodeLimits limits = {}, Fetch fetch = {})
      : vision_(std::move(vision)),
        limits_(limits),
        fetch_(std::move(fetch)),
        recent_(std::make_unique<RecentImages>(kRecentBytes)) {}

  int32_t image_token() const { return vision_.image_token; }
  // `where` names the image in errors. Data URLs that come again soon are not decoded again.
  Result<std::shared_ptr<const TiledImage>> Read(std::string_view url,
                                                 const std::string& where) const;
  // The same of a picture file's bytes.
  Result<std::shared_ptr<const TiledImage>> ReadBytes(std::string_view bytes,
                                                      const std::string& where) const;

 private:
  VisionConfig vision_;
  DecodeLimits limits_;
  Fetch fetch_;
  static constexpr size_t kRecentBytes = size_t{64} << 20;  // a dozen large ones
  std::unique_ptr<RecentImages> recent_;
};

// Null for a model that reads text alone.
std::shared_ptr<const ImageReader> ImageReaderFor(const Model& model, DecodeLimits limits = {},
                                                  ImageReader::Fetch fetch = {});

// An image in the messages of a chat, in the shape of the OpenAI API.
struct ImagePart {
  std::string_view url;  // of the message; it may be megabytes
  std::string path;  // where it stands: "messages[2].content[0]", or what the part's `path` says
};
// In the order in which a prompt shows them. Views `messages`.
std::vector<ImagePart> ImageParts(const Json& messages);

}  // namespace fulmen
