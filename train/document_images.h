// The images of chats on their way into a dataset.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "images/tiles.h"
#include "tokenizer/chat.h"
#include "train/dataset.h"

namespace fulmen {

// Where the pixels of a part of a message are: in a file, or in a data URL.
struct ImageSource {
  std::string file;  // "": in `url`
  std::string url;
  std::string where;  // for errors: "FILE:3: messages[0].content[1]"
};

// The images of the messages of a chat, in the order of its prompt: parts {"type": "image", "path":
// FILE}, relative to `folder`, and {"type": "image_url", "image_url": {"url": "data:…"}}.
// Untrusted.
Result<std::vector<ImageSource>> FindImages(const Json& messages, const std::string& folder,
                                            const std::string& where);

// The pixels, cut as `tiles` says.
Result<TiledImage> ReadImage(const ImageSource& source, const TileRules& tiles);

// Each image token of a document becomes as many as its image has, none of them in the loss. The
// result views `images` and says where they are. Fails where there are more or fewer image tokens
// than images; `where` names the document.
Result<std::vector<DocumentImage>> ExpandImages(std::span<const TiledImage> images,
                                                int32_t image_token, const std::string& where,
                                                MaskedTokens& document);

}  // namespace fulmen
