#include "engine/model_identity.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "model/testing/tiny_mmproj.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

// Each half counts, its tensors and what it says.
TEST(ModelIdentity, IsOfTextAndVision) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "m.gguf";
  const auto identity = [&] { return ModelIdentity(LoadModel(path).value()); };
  testing::TinyGguf().Write(path);
  const std::string text = identity();
  testing::TinyGguf vision = testing::TinyMmproj();
  vision.Write(folder / "mmproj-m.gguf");
  const std::string both = identity();
  EXPECT_NE(both, text);
  EXPECT_EQ(both, identity());

  testing::Floats(vision, "clip.vision.image_mean", {0, 0, 0});
  vision.Write(folder / "mmproj-m.gguf");
  EXPECT_NE(identity(), both);

  vision = testing::TinyMmproj();
  vision.tensors["mm.2.bias"] = {{32}, 1, 64};  // zeros, of F16
  vision.Write(folder / "mmproj-m.gguf");
  EXPECT_NE(identity(), both);

  std::filesystem::remove(folder / "mmproj-m.gguf");
  EXPECT_EQ(identity(), text);
}

}  // namespace
}  // namespace fulmen
