#include "serve/content_parts.h"

#include <utility>

namespace fulmen {

void ContentParts::AddText(std::string_view text, std::string_view between) {
  if (has_text_) text_ += between;
  text_ += text;
  has_text_ = true;
}

void ContentParts::CloseText() {
  has_text_ = false;
  if (text_.empty()) return;
  parts_.push_back({{"type", "text"}, {"text", std::exchange(text_, "")}});
}

void ContentParts::AddImage(std::string url, std::string path) {
  CloseText();
  Json part = {{"type", "image_url"}, {"path", std::move(path)}};
  part["image_url"]["url"] = std::move(url);
  parts_.push_back(std::move(part));
}

void ContentParts::AddImages(ContentParts images) {
  if (images.has_images()) CloseText();
  for (Json& part : images.parts_) parts_.push_back(std::move(part));
}

Json ContentParts::Take() {
  if (!has_images()) {
    has_text_ = false;
    return std::exchange(text_, "");
  }
  CloseText();
  return std::exchange(parts_, Json::array());
}

std::string TakeText(ContentParts& result, ContentParts& images) {
  Json content = result.Take();
  if (content.is_string()) return std::move(content.get_ref<std::string&>());
  ContentParts text;
  for (Json& part : content) {
    if (part["type"] == "text") {
      text.AddText(part["text"].get_ref<const std::string&>(), "\n");
    } else {
      images.AddImage(std::move(part["image_url"]["url"].get_ref<std::string&>()),
                      std::move(part["path"].get_ref<std::string&>()));
    }
  }
  return text.Take().get<std::string>();
}

ApiResult<std::string> ImageUrlOf(const Fields& part) {
  const Json& url = part.At("image_url");
  if (url.is_string()) return url.get<std::string>();
  if (!url.is_object()) {
    if (part.Has("file_id")) {
      return ApiFail(ApiErrorKind::kUnsupported, part.PathOf("file_id"),
                     "images come in the request or from a URL: there are no stored files");
    }
    return part.Wrong("image_url", "a URL, or an object with one");
  }
  FULMEN_API_ASSIGN(const Fields inner, Fields::Of(url, part.PathOf("image_url")));
  return inner.NeededString("url");
}

}  // namespace fulmen
