// The content of a message as an API gives it, part by part: text, and images where they stand.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/fields.h"

namespace fulmen {

class ContentParts {
 public:
  // Text that follows text is one with it, `between` standing between them.
  void AddText(std::string_view text, std::string_view between);
  // `url` is a data URL, or one to be fetched; `path` says where in the request it came from.
  void AddImage(std::string url, std::string path);
  void AddImages(ContentParts images);  // the parts of another, which has images alone

  bool empty() const { return !has_text_ && parts_.empty(); }
  bool has_images() const { return !parts_.empty(); }
  // For ChatPrompt: a string, or where there are images a list of parts of the types "text" and
  // "image_url", the latter with a `path`. Nothing is left here.
  Json Take();

 private:
  void CloseText();

  Json parts_ = Json::array();
  std::string text_;  // behind them
  bool has_text_ = false;
};

// What becomes of the result of a call, where no chat format has a place for images: its texts, a
// line each, while its images go to `images`, for the user's message behind the results.
std::string TakeText(ContentParts& result, ContentParts& images);

// The URL in a part of the OpenAI API's types image_url and input_image: in the field `image_url`,
// as a string or an object with `url`.
ApiResult<std::string> ImageUrlOf(const Fields& part);

}  // namespace fulmen
