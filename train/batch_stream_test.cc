#include "train/batch_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "base/random.h"
#include "model/vision.h"
#include "tests/testing/golden.h"
#include "train/permutation.h"
#include "train/shard_writer.h"
#include "train/testing/tiny_pictures.h"

namespace fulmen {
namespace {

constexpr int64_t kVocabulary = 1 << 20;

struct OwnDocument {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> loss_mask;
};

class BatchStreamTest : public ::testing::Test {
 protected:
  // A dataset of these documents.
  Dataset Write(const std::vector<OwnDocument>& documents, const std::string& tokenizer = "t") {
    const std::string folder = folder_ / std::to_string(++count_);
    std::filesystem::create_directory(folder);
    ShardWriter writer(folder, 1000, kVocabulary, tokenizer);
    for (const OwnDocument& document : documents) {
      EXPECT_TRUE(writer.Add({document.tokens, document.loss_mask}));
    }
    EXPECT_TRUE(writer.Finish());
    auto dataset = Dataset::Open(folder);
    EXPECT_TRUE(dataset.has_value()) << dataset.error().message;
    return *std::move(dataset);
  }

  // Documents whose tokens are all different, from `first` on, of 2 to `longest` tokens.
  static std::vector<OwnDocument> Documents(int count, int longest, int first = 0) {
    std::vector<OwnDocument> documents(static_cast<size_t>(count));
    std::minstd_rand random(static_cast<unsigned>(first + 1));
    for (OwnDocument& document : documents) {
      const int length = 2 + static_cast<int>(random() % static_cast<unsigned>(longest - 1));
      for (int i = 0; i < length; ++i) document.tokens.push_back(first++);
    }
    return documents;
  }

  static BatchStream Create(std::vector<MixtureSource> sources, const BatchStreamOptions& options) {
    auto stream = BatchStream::Create(std::move(sources), options);
    EXPECT_TRUE(stream.has_value()) << stream.error().message;
    return *std::move(stream);
  }

  static std::string CreateError(std::vector<MixtureSource> sources,
                                 const BatchStreamOptions& options) {
    const auto stream = BatchStream::Create(std::move(sources), options);
    return stream ? "no error" : stream.error().message;
  }

  testing::TemporaryFolder folder_;
  int count_ = 0;
};

bool Same(const PackedBatch& a, const PackedBatch& b) {
  const auto same_span = [](const PackedImages::Span& one, const PackedImages::Span& other) {
    return one.first == other.first && one.rows == other.rows;
  };
  return a.tokens == b.tokens && a.targets == b.targets && a.starts == b.starts &&
         a.images.patches == b.images.patches &&
         std::ranges::equal(a.images.spans, b.images.spans, same_span);
}

// What every batch promises.
void ExpectWellFormed(const PackedBatch& batch, const BatchStreamOptions& options) {
  ASSERT_GE(batch.starts.size(), 2u);
  ASSERT_EQ(batch.starts.front(), 0);
  ASSERT_EQ(batch.starts.back(), static_cast<int64_t>(batch.tokens.size()));
  ASSERT_EQ(batch.targets.size(), batch.tokens.size());
  ASSERT_LE(batch.starts.back(), options.batch_tokens);
  for (size_t d = 1; d < batch.starts.size(); ++d) {
    const auto begin = static_cast<size_t>(batch.starts[d - 1]);
    const auto end = static_cast<size_t>(batch.starts[d]);
    ASSERT_GE(end, begin + 2);
    ASSERT_LE(static_cast<int64_t>(end - begin), options.max_length);
    ASSERT_EQ(batch.targets[end - 1], -1);
    bool something = false;
    for (size_t i = begin; i + 1 < end; ++i) {
      if (batch.targets[i] == -1) continue;
      ASSERT_EQ(batch.targets[i], batch.tokens[i + 1]);
      something = true;
    }
    ASSERT_TRUE(something);
  }
}

// Three squares of 10 tokens and a wide one of 14, each in a document with two tokens behind it.
class ImageStreamTest : public BatchStreamTest {
 protected:
  ImageStreamTest() {
    const std::string folder = folder_ / "images";
    std::filesystem::create_directory(folder);
    ShardWriter writer(folder, 1000, kVocabulary, "t", kTiles);
    for (int i = 0; i < 4; ++i) {
      const Size size = {.width = i == 3 ? 16 : 8, .height = 8};
      documents_.push_back(std::make_unique<testing::TinyDocument>(i, kTiles, size));
      EXPECT_TRUE(writer.Add(documents_.back()->View()));
    }
    EXPECT_TRUE(writer.Add({std::vector<int32_t>(50, 1), {}}));  // text may be cut
    EXPECT_TRUE(writer.Finish());
    dataset_.emplace(*Dataset::Open(folder));
  }

  const TileRules kTiles = {.tile = 8, .patch = 4, .pinpoints = {{8, 8}, {16, 8}}};
  std::vector<std::unique_ptr<testing::TinyDocument>> documents_;
  std::optional<Dataset> dataset_;
};

TEST_F(ImageStreamTest, BatchesHaveThePatchesOfTheirDocuments) {
  BatchStream stream = Create({{&*dataset_, 1}}, {.batch_tokens = 40, .max_length = 20});
  EXPECT_EQ(stream.left_out(), 0);
  int seen = 0;
  for (int b = 0; b < 12; ++b) {
    const PackedBatch batch = stream.Next();
    int64_t rows = 0;
    size_t next = 0;
    for (size_t d = 0; d + 1 < batch.starts.size(); ++d) {
      const int64_t first = batch.starts[d];
      if (batch.tokens[static_cast<size_t>(first)] != testing::kTinyImageToken) continue;
      const int32_t answer = batch.tokens[static_cast<size_t>(batch.starts[d + 1]) - 1];
      const TiledImage& image = documents_.at(static_cast<size_t>(answer - 10))->pixels;
      ASSERT_LT(next, batch.images.spans.size());
      const PackedImages::Span& span = batch.images.spans[next++];
      EXPECT_EQ(span.first, first);
      std::vector<int64_t> expected(static_cast<size_t>(image.geometry.tokens));
      FeatureRows(image.geometry, 0, expected);
      for (int64_t& row : expected) row += row == kNewline ? 0 : rows;
      EXPECT_EQ(span.rows, expected);
      for (int64_t tile = 0; tile <= image.geometry.tiles; ++tile, rows += 4) {
        std::vector<float> patches(4 * 48);
        WriteTilePatches(image, ClipNormalisation(), tile, Matrix(patches.data(), 4, 48));
        ASSERT_GE(std::ssize(batch.images.patches), (rows + 4) * 48);
        EXPECT_TRUE(std::ranges::equal(
            patches, std::span(batch.images.patches)
                         .subspan(static_cast<size_t>(rows * 48), patches.size())));
      }
      EXPECT_EQ(
          std::count_if(batch.targets.begin() + first, batch.targets.begin() + batch.starts[d + 1],
                        [](int32_t target) { return target >= 0; }),
          1)
          << "the answer alone";
      ++seen;
    }
    EXPECT_EQ(next, batch.images.spans.size());
    EXPECT_EQ(std::ssize(batch.images.patches), rows * 48);
  }
  EXPECT_GT(seen, 8);
}

TEST_F(ImageStreamTest, LongOnesAreLeftOutAndCounted) {
  BatchStream stream = Create({{&*dataset_, 1}}, {.batch_tokens = 13, .max_length = 13});
  EXPECT_EQ(stream.left_out(), 1);
  for (int b = 0; b < 30; ++b) {
    const PackedBatch batch = stream.Next();
    EXPECT_LE(batch.tokens.size(), 13U);
    EXPECT_NE(batch.tokens.back(), 13) << "the answer to the wide one";
  }
}

TEST_F(ImageStreamTest, GoesOnExactly) {
  const BatchStreamOptions options{.batch_tokens = 30, .max_length = 20, .seed = 3};
  BatchStream stream = Create({{&*dataset_, 1}}, options);
  for (int before = 0; before < 9; ++before) {
    BatchStream resumed = Create({{&*dataset_, 1}}, options);
    ASSERT_TRUE(resumed.Restore(stream.State()));
    const PackedBatch batch = stream.Next();
    EXPECT_TRUE(Same(resumed.Next(), batch)) << before;
  }
}

TEST(Permutation, VisitsEverythingOnceInAnOrderOfItsKey) {
  for (const uint64_t count : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    std::vector<uint64_t> orders[2];
    for (uint64_t key = 0; key < 2; ++key) {
      std::set<uint64_t> seen;
      for (uint64_t i = 0; i < count; ++i) {
        orders[key].push_back(PermutedIndex(i, count, key));
        ASSERT_LT(orders[key].back(), count);
        seen.insert(orders[key].back());
      }
      EXPECT_EQ(seen.size(), count);
    }
    if (count >= 16) {
      EXPECT_NE(orders[0], orders[1]);
    }
  }
  EXPECT_LT(PermutedIndex(12345, uint64_t{1} << 62, 7), uint64_t{1} << 62);
}

// Over many keys every element stands first equally often: chi-squared with 15 degrees of freedom
// is below 44.3 in all but one of 10,000 cases, and the keys are fixed.
TEST(Permutation, IsFair) {
  constexpr int kKeys = 16000;
  std::vector<int> first(16);
  for (uint64_t key = 0; key < kKeys; ++key) ++first[PermutedIndex(0, 16, MixBits(key))];
  double chi_squared = 0;
  for (const int count : first) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_squared, 44.3);
}

TEST_F(BatchStreamTest, EveryDocumentOncePerPassAndNothingPadded) {
  const std::vector<OwnDocument> documents = Documents(300, 30);
  const Dataset dataset = Write(documents);
  ASSERT_EQ(dataset.documents(), 300);
  const BatchStreamOptions options{.batch_tokens = 128, .max_length = 64, .seed = 3};
  BatchStream stream = Create({{&dataset}}, options);
  std::vector<std::vector<int32_t>> passes[2];  // the documents of two passes
  while (passes[1].size() < 300) {
    const PackedBatch batch = stream.Next();
    ExpectWellFormed(batch, options);
    // The next document would not have fit: none is longer than 31.
    EXPECT_GT(batch.tokens.size(), 128u - 31);
    for (size_t d = 1; d < batch.starts.size(); ++d) {
      auto& pass = passes[passes[0].size() < 300 ? 0 : 1];
      if (pass.size() == 300) break;
      pass.emplace_back(batch.tokens.begin() + batch.starts[d - 1],
                        batch.tokens.begin() + batch.starts[d]);
    }
  }
  EXPECT_NE(passes[0], passes[1]);
  std::vector<std::vector<int32_t>> expected;
  for (const OwnDocument& document : documents) expected.push_back(document.tokens);
  EXPECT_NE(passes[0], expected);
  for (auto& pass : passes) {
    std::sort(pass.begin(), pass.end());
    EXPECT_EQ(pass, expected);
  }
}

TEST_F(BatchStreamTest, SharesFollowTheWeights) {
  const Dataset small = Write(Documents(20, 10));
  const Dataset large = Write(Documents(200, 60, 100'000));
  const BatchStreamOptions options{.batch_tokens = 256, .max_length = 64};
  BatchStream stream = Create({{&small, 1}, {&large, 3}}, options);
  int64_t drawn[2] = {0, 0};
  for (int batch = 0; batch < 200; ++batch) {
    for (const int32_t token : stream.Next().tokens) ++drawn[token < 100'000 ? 0 : 1];
    // At any time the shares are right within one document of each.
    EXPECT_NEAR(static_cast<double>(drawn[0]), static_cast<double>(drawn[1]) / 3, 64);
  }
  EXPECT_GT(drawn[0], 10'000);
}

// A stage that reads the sources of the one before owes nothing for what that drew.
TEST_F(BatchStreamTest, AFollowingStreamHasItsOwnWeightsFromItsFirstBatch) {
  const Dataset a = Write(Documents(200, 20));
  const Dataset b = Write(Documents(200, 20, 100'000));
  const BatchStreamOptions options{.batch_tokens = 256, .max_length = 32, .seed = 5};
  BatchStream first = Create({{&a, 9}, {&b, 1}}, options);
  for (int i = 0; i < 100; ++i) first.Skip();
  BatchStream second = Create({{&a, 1}, {&b, 1}}, options);
  ASSERT_TRUE(second.Follow(first.State()));
  Json middle;
  int64_t drawn[2] = {0, 0};
  std::vector<PackedBatch> batches;
  for (int batch = 0; batch < 20; ++batch) {
    if (batch == 7) middle = second.State();
    batches.push_back(second.Next());
    for (const int32_t token : batches.back().tokens) ++drawn[token < 100'000 ? 0 : 1];
    EXPECT_NEAR(static_cast<double>(drawn[0]), static_cast<double>(drawn[1]), 20) << batch;
  }
  BatchStream resumed = Create({{&a, 1}, {&b, 1}}, options);
  ASSERT_TRUE(resumed.Restore(*ParseJson(middle.dump(), "state")));
  for (size_t batch = 7; batch < 20; ++batch) EXPECT_TRUE(Same(resumed.Next(), batches[batch]));
}

// Orders of the same documents for any seed, source and pass have nothing in common: of n documents
// one stands at the same place in two of them on average, and more than eight with probability
// 1e-6.
TEST_F(BatchStreamTest, OrdersAreIndependent) {
  constexpr int kDocuments = 64;
  const Dataset a = Write(Documents(kDocuments, 2));
  const Dataset b = Write(Documents(kDocuments, 2));  // the same once more
  std::vector<std::vector<int32_t>> orders;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{2}}) {
    BatchStream stream = Create({{&a}, {&b}}, {.batch_tokens = 4, .max_length = 2, .seed = seed});
    std::vector<int32_t> of_source[2];
    for (int i = 0; i < 2 * kDocuments; ++i) {  // one document of each in a batch
      const PackedBatch batch = stream.Next();
      for (const size_t source : {size_t{0}, size_t{1}}) {
        of_source[source].push_back(batch.tokens[2 * source]);
      }
    }
    for (const std::vector<int32_t>& order : of_source) {
      orders.emplace_back(order.begin(), order.begin() + kDocuments);
      orders.emplace_back(order.begin() + kDocuments, order.end());
    }
  }
  ASSERT_EQ(orders.size(), 12u);
  for (size_t i = 0; i < orders.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      int same = 0;
      for (size_t d = 0; d < kDocuments; ++d) same += orders[i][d] == orders[j][d] ? 1 : 0;
      EXPECT_LE(same, 8) << i << " and " << j;
    }
  }
}

TEST_F(BatchStreamTest, LongDocumentsAreCutInOrder) {
  OwnDocument document;
  for (int i = 0; i < 1000; ++i) document.tokens.push_back(i);
  const Dataset dataset = Write({document});
  const BatchStreamOptions options{.batch_tokens = 100, .max_length = 48};
  BatchStream stream = Create({{&dataset}}, options);
  std::vector<int32_t> tokens;
  std::vector<int64_t> lengths;
  while (tokens.size() < 1000) {
    const PackedBatch batch = stream.Next();
    ExpectWellFormed(batch, options);
    tokens.insert(tokens.end(), batch.tokens.begin(), batch.tokens.end());
    for (size_t d = 1; d < batch.starts.size(); ++d) {
      lengths.push_back(batch.starts[d] - batch.starts[d - 1]);
    }
  }
  EXPECT_TRUE(std::equal(document.tokens.begin(), document.tokens.end(), tokens.begin()));
  // 1000 = 20 * 48 + 40, and then from the beginning.
  ASSERT_GE(lengths.size(), 21u);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(lengths[i], 48);
  EXPECT_EQ(lengths[20], 40);
}

TEST_F(BatchStreamTest, OnlyTokensInTheLossMaskAreTargets) {
  const std::vector<OwnDocument> documents = {
      {{10, 11, 12, 13, 14, 15}, {0, 0, 1, 1, 0, 1}},
      {{20, 21, 22}, {1, 0, 0}},  // a first token is never a target: nothing to learn
      {{30, 31, 32}, {}},
      {{40}, {}},
  };
  const Dataset dataset = Write(documents);
  BatchStream stream = Create({{&dataset}}, {.batch_tokens = 9, .max_length = 8});
  const PackedBatch batch = stream.Next();
  EXPECT_EQ(batch.tokens.size(), 9u);
  const std::map<int32_t, int32_t> expected = {{10, -1}, {11, 12}, {12, 13}, {13, -1}, {14, 15},
                                               {15, -1}, {30, 31}, {31, 32}, {32, -1}};
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    ASSERT_TRUE(expected.contains(batch.tokens[i])) << batch.tokens[i];
    EXPECT_EQ(batch.targets[i], expected.at(batch.tokens[i])) << batch.tokens[i];
  }
  EXPECT_EQ(batch.PredictedTokens(), 5);
}

// Three sources, masks, cut documents, several passes.
TEST_F(BatchStreamTest, StateAndSkipAreExact) {
  std::vector<OwnDocument> masked = Documents(50, 90, 10'000);
  for (OwnDocument& document : masked) {
    for (const int32_t token : document.tokens) {
      document.loss_mask.push_back(MixBits(static_cast<uint64_t>(token)) % 16 == 0 ? 1 : 0);
    }
  }
  const Dataset a = Write(Documents(40, 20));
  const Dataset b = Write(masked);
  const Dataset c = Write(Documents(7, 50, 50'000));
  const std::vector<MixtureSource> sources = {{&a, 0.2}, {&b, 0.5}, {&c, 0.3}};
  const BatchStreamOptions options{.batch_tokens = 64, .max_length = 32, .seed = 11};
  BatchStream stream = Create(sources, options);
  std::vector<PackedBatch> batches;
  std::vector<Json> states;
  for (int i = 0; i < 200; ++i) {
    states.push_back(stream.State());
    batches.push_back(stream.Next());
    ExpectWellFormed(batches.back(), options);
  }
  BatchStream again = Create(sources, options);
  for (size_t i = 0; i < batches.size(); ++i) {
    ASSERT_EQ(again.State(), states[i]);
    if (i % 3 == 1) {
      ASSERT_TRUE(Same(again.Next(), batches[i]));
    } else {
      again.Skip();
    }
  }
  for (size_t i = 0; i < batches.size(); i += 7) {
    BatchStream resumed = Create(sources, options);
    const auto state = ParseJson(states[i].dump(), "state");
    ASSERT_TRUE(resumed.Restore(*state));
    for (size_t j = i; j < std::min(i + 3, batches.size()); ++j) {
      ASSERT_TRUE(Same(resumed.Next(), batches[j])) << i << " " << j;
    }
  }
  // Another seed is another order.
  BatchStream other = Create(sources, {.batch_tokens = 64, .max_length = 32, .seed = 12});
  EXPECT_FALSE(Same(other.Next(), batches[0]));
}

// A later stage of training may cut longer pieces.
TEST_F(BatchStreamTest, AFollowingStreamMayHaveOtherLengths) {
  const Dataset dataset = Write(Documents(30, 200));
  BatchStream stream = Create({{&dataset}}, {.batch_tokens = 50, .max_length = 20});
  for (int i = 0; i < 17; ++i) stream.Skip();
  const BatchStreamOptions longer{.batch_tokens = 500, .max_length = 300};
  BatchStream next = Create({{&dataset}}, longer);
  ASSERT_TRUE(next.Follow(stream.State()));
  EXPECT_EQ(next.Next().tokens[0], stream.Next().tokens[0]);
}

TEST_F(BatchStreamTest, ForeignStatesAreRefused) {
  const Dataset a = Write(Documents(40, 20));
  const Dataset b = Write(Documents(41, 20));
  const BatchStreamOptions options{.batch_tokens = 64, .max_length = 32};
  BatchStream stream = Create({{&a}}, options);
  stream.Skip();
  const Json state = stream.State();
  EXPECT_TRUE(Create({{&a}}, options).Restore(state));
  EXPECT_FALSE(Create({{&b}}, options).Restore(state));
  EXPECT_FALSE(Create({{&a}, {&a}}, options).Restore(state));
  EXPECT_FALSE(Create({{&a}}, {.batch_tokens = 64, .max_length = 32, .seed = 1}).Restore(state));
  for (const char* key : {"epoch", "index", "offset", "drawn"}) {
    for (const Json& value : {Json(-1), Json(nullptr), Json(1.5), Json(uint64_t{1} << 63)}) {
      Json broken = state;
      broken["sources"][0][key] = value;
      EXPECT_FALSE(stream.Restore(broken)) << broken;
    }
  }
  for (const Json& broken : {Json(3), Json::object(), Json{{"batches", 1}}}) {
    EXPECT_FALSE(stream.Restore(broken));
  }
  EXPECT_EQ(stream.State(), state);  // as it was
}

TEST_F(BatchStreamTest, BadMixturesAreRefused) {
  const Dataset good = Write(Documents(4, 20));
  const Dataset mute = Write({{{1, 2, 3}, {1, 0, 0}}, {{4}, {}}});
  const Dataset foreign = Write(Documents(4, 20), "another");
  const BatchStreamOptions options{.batch_tokens = 64, .max_length = 32};
  EXPECT_EQ(CreateError({}, options), "at least one dataset is expected, found none");
  EXPECT_EQ(CreateError({{&good}, {&mute}}, options),
            "dataset 1 has nothing to learn in its 2 documents of 4 tokens");
  EXPECT_EQ(CreateError({{&good}, {&foreign}}, options),
            "datasets 0 and 1 were made with different tokenizers (t and another)");
  EXPECT_EQ(CreateError({{&good, 0}}, options),
            "the weight of dataset 0 should be a positive number, found 0");
  EXPECT_NE(CreateError({{&good}}, {.batch_tokens = 16, .max_length = 32}), "no error");
  EXPECT_NE(CreateError({{&good}}, {.batch_tokens = 16, .max_length = 1}), "no error");
}

}  // namespace
}  // namespace fulmen
