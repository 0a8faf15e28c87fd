#include "model/repack.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/testing/kernels.h"
#include "model/forward.h"
#include "model/testing/test_sequence.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

std::vector<float> LogitsOf(const Model& model, const Compute& compute) {
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7};
  std::vector<float> logits(ids.size() * static_cast<size_t>(model.config.vocab_size));
  testing::TestSequence sequence(model.config);
  const Matrix out(logits.data(), std::ssize(ids), model.config.vocab_size);
  EXPECT_TRUE(Forward(model, compute, ids, sequence.state, out));
  return logits;
}

void ExpectSameBits(const std::string& path, bool has_layout_everywhere) {
  for (const Kernels& kernels : testing::CpuKernelsOfAllTargets()) {
    testing::TestContext context(2);
    const Compute compute(kernels, context.context);
    Model model = LoadModel(path).value();
    const size_t bytes = RepackedBytes(model, compute);
    if (bytes == 0 && !has_layout_everywhere) continue;
    EXPECT_GT(bytes, 1'000'000U);
    const std::vector<float> expected = LogitsOf(model, compute);
    size_t done = 0;
    RepackWeights(model, compute, [&](size_t weight) { done += weight; });
    EXPECT_EQ(done, bytes);
    EXPECT_EQ(RepackedBytes(model, compute), 0U);
    EXPECT_TRUE(testing::SameBits(LogitsOf(model, compute), expected)) << kernels.name;
  }
}

TEST(Repack, ChangesNoBit) {
  ExpectSameBits(testing::GoldenFolder("gguf/wide") + "/wide-q4_k_m.gguf", true);
}

// BF16 is read where it is, but with AMX.
TEST(Repack, ChangesNoBitOfBf16) {
  ExpectSameBits(testing::SourcePath("models/fulmen-nano"), false);
}

}  // namespace
}  // namespace fulmen
