// Small pictures, and a dataset with one in each document, for tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "images/tiles.h"
#include "train/shard_writer.h"

namespace fulmen::testing {

// Of so many pixels, each picture of a number like no other.
inline Image TinyPicture(int number, Size size) {
  Image image = {size.width, size.height, {}};
  for (int64_t i = 0; i < size.width * size.height * 3; ++i) {
    image.rgb.push_back(static_cast<uint8_t>((i * (7 + 2 * number) + 31 * number) % 256));
  }
  return image;
}

inline constexpr int32_t kTinyImageToken = 6;

// The image, a question of one token (5) and an answer of one (10 + number), which alone counts in
// the loss.
struct TinyDocument {
  TinyDocument(int number, const TileRules& tiles, Size size)
      : pixels(*MakeTiles(TinyPicture(number, size), tiles)),
        tokens(static_cast<size_t>(pixels.geometry.tokens), kTinyImageToken),
        images{{0, pixels.geometry, pixels.thumbnail.rgb, pixels.canvas.rgb}} {
    tokens.push_back(5);
    loss_mask.assign(tokens.size(), 0);
    tokens.push_back(10 + number);
    loss_mask.push_back(1);
  }
  TinyDocument(const TinyDocument&) = delete;
  TinyDocument& operator=(const TinyDocument&) = delete;

  Document View() const { return {tokens, loss_mask, images}; }

  TiledImage pixels;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> loss_mask;
  std::vector<DocumentImage> images;
};

inline void WriteTinyPictures(const std::string& folder, const std::string& tokenizer,
                              const TileRules& tiles, int count) {
  ASSERT_TRUE(std::filesystem::create_directory(folder));
  ShardWriter writer(folder, 1000, 100, tokenizer, tiles);
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(writer.Add(TinyDocument(i, tiles, {.width = 8, .height = 8}).View()));
  }
  ASSERT_TRUE(writer.Finish());
}

}  // namespace fulmen::testing
