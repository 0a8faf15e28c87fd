// A part of a sequence that goes through the layers in pieces has the bits of one pass.
#include "model/layered_forward.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "base/workspace.h"
#include "model/forward.h"
#include "model/testing/test_sequence.h"
#include "model/testing/tiny_model.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using testing::SameBits;
using testing::TinyModel;

using Ids = std::vector<int32_t>;

struct LayeredCase {
  DType weights = DType::kF32;
  DType kv = DType::kF32;
};

class LayeredForwardTest : public ::testing::TestWithParam<LayeredCase> {
 protected:
  LayeredForwardTest() {
    for (int64_t i = 0; i < 400; ++i) {
      ids_.push_back(static_cast<int32_t>(random_() % TinyModel::kBroken));
    }
  }

  Compute compute() { return {*SelectKernels("cpu").value(), context_}; }
  std::span<const int32_t> Part(int64_t first, int64_t end) const {
    return std::span(ids_).subspan(static_cast<size_t>(first), static_cast<size_t>(end - first));
  }
  // Logits of ids_ from where the sequence stands to `end`.
  std::vector<float> Read(SequenceState& state, int64_t end) {
    const int64_t count = end - state.position();
    std::vector<float> logits = testing::NanFilled(count * model_->config.vocab_size);
    const Status status = Forward(*model_, compute(), Part(state.position(), end), state,
                                  Matrix(logits.data(), count, model_->config.vocab_size));
    EXPECT_TRUE(status) << status.error().message;
    return logits;
  }
  // Of any length, with passes of another sequence in between.
  Status RunInPieces(LayeredForward& pass, SequenceState& other) {
    while (!pass.done()) {
      const auto left = static_cast<uint32_t>(pass.rows_left());
      Status status = pass.Run(random_() % 2 == 0 ? left : 1 + random_() % left);
      if (!status) return status;
      if (random_() % 2 == 0 && other.position() < std::ssize(ids_)) {
        Read(other, other.position() + 1);
      }
    }
    return {};
  }

  TinyModel model_{GetParam().weights, GetParam().kv};
  ThreadPool pool_{2};
  Workspace scratch_{/*poison=*/true};
  Workspace memory_{/*poison=*/true};
  KernelContext context_{pool_, scratch_};
  std::mt19937 random_{7};
  Ids ids_;
};

TEST_P(LayeredForwardTest, HasTheBitsOfOnePass) {
  const int64_t vocab = model_->config.vocab_size;
  testing::TestSequence alone(model_->config, GetParam().kv);
  const std::vector<float> expected = Read(alone.state, std::ssize(ids_));
  const auto from = [&](int64_t first) {
    return std::vector<float>(expected.begin() + first * vocab, expected.end());
  };
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    testing::TestSequence sequence(model_->config, GetParam().kv);
    SequenceState other = sequence.pool.Create().value();
    const int64_t begin = round == 0 ? 0 : 1 + static_cast<int64_t>(random_() % 60);
    const int64_t end = begin + 1 + static_cast<int64_t>(random_() % 320);
    if (begin > 0) Read(sequence.state, begin);
    ASSERT_TRUE(sequence.state.Reserve(end - begin));
    const int64_t middle = begin + 1 + static_cast<int64_t>(random_() % (end - begin));
    std::vector<SequenceState> forks;
    forks.push_back(sequence.state.ForkAt(middle).value());
    forks.push_back(sequence.state.ForkAt(end).value());
    LayeredForward pass(*model_, compute(), Part(begin, end), sequence.state,
                        std::vector{&forks[0], &forks[1]}, memory_);
    ASSERT_TRUE(RunInPieces(pass, other));
    EXPECT_EQ(sequence.state.position(), end);
    EXPECT_TRUE(SameBits(Read(sequence.state, std::ssize(ids_)), from(end)));
    EXPECT_TRUE(SameBits(Read(forks[0], std::ssize(ids_)), from(middle)));
    EXPECT_TRUE(SameBits(Read(forks[1], std::ssize(ids_)), from(end)));
  }
}

TEST_P(LayeredForwardTest, NamesTheLayerThatOverflows) {
  ids_[100] = TinyModel::kBroken;
  testing::TestSequence sequence(model_->config, GetParam().kv);
  SequenceState other = sequence.pool.Create().value();
  ASSERT_TRUE(sequence.state.Reserve(200));
  LayeredForward pass(*model_, compute(), Part(0, 200), sequence.state, {}, memory_);
  const Status status = RunInPieces(pass, other);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNonFinite);
  EXPECT_NE(status.error().message.find("layer 0"), std::string::npos) << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(Kept, LayeredForwardTest,
                         ::testing::Values(LayeredCase{}, LayeredCase{.kv = DType::kF16},
                                           LayeredCase{.kv = DType::kQ8_0},
                                           LayeredCase{.weights = DType::kQ4_K},
                                           LayeredCase{.weights = DType::kQ8_0}),
                         [](const auto& kept) {
                           return fmt::format("{}_kv{}", DTypeName(kept.param.weights),
                                              DTypeName(kept.param.kv));
                         });

}  // namespace
}  // namespace fulmen
