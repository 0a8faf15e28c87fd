// Images among the tokens of a prompt.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/prefix_tree.h"
#include "images/tiles.h"
#include "model/forward.h"

namespace fulmen {

// Tokens [first, end()) of a prompt, which are the model's image token, stand for this image.
struct PromptImage {
  int64_t first;
  std::shared_ptr<const TiledImage> image;

  int64_t end() const { return first + image->geometry.tokens; }
  // How many of its tokens are before `position`.
  int64_t Before(int64_t position) const {
    return std::clamp<int64_t>(position - first, 0, image->geometry.tokens);
  }
  // Whether it has tokens in [from, to).
  bool IsIn(int64_t from, int64_t to) const { return std::max(from, first) < std::min(to, end()); }
};

// Each image token of `ids` becomes as many as its image has, in order. An error where there are
// more or fewer of them than images.
Result<std::vector<PromptImage>> ExpandImages(
    std::span<const std::shared_ptr<const TiledImage>> images, int32_t image_token,
    std::vector<int32_t>& ids);

// Adds to a batch what rows of it read of an image: those of positions [first, last) of the prompt,
// the first of them row `row` of the batch. `features` is what the tower made of all its tiles.
void AddImageRows(const PromptImage& image, ConstMatrix features, int64_t first, int64_t last,
                  int64_t row, ForwardBatch& batch);

// What stands for token `index` of an image in the prefix cache: the same for the same pixels,
// however they were encoded, and no token.
PrefixKey ImageKey(const TiledImage& image, int64_t index);

}  // namespace fulmen
