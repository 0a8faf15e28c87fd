// Sequences that share batches: each gets the bits it has alone, whatever it shares them with.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "base/workspace.h"
#include "model/forward.h"
#include "model/testing/test_sequence.h"
#include "model/testing/tiny_model.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;

using testing::SameBits;
using testing::TinyModel;

// What weights and caches are kept in changes how much is rounded, and promises nothing less.
struct BatchCase {
  std::string kernels;
  DType weights = DType::kF32;
  DType kv = DType::kF32;
  int schedules = 0;

  std::string Name() const {
    return fmt::format("{}_{}_kv{}", kernels, DTypeName(weights), DTypeName(kv));
  }
};

class Batches : public ::testing::TestWithParam<BatchCase> {
 protected:
  const Config& config() const { return model_->config; }
  Compute compute() { return {*SelectKernels(GetParam().kernels).value(), context_}; }

  // Logits of every token, read alone in pieces of `chunk`.
  std::vector<float> Alone(const Ids& ids, int64_t chunk) {
    testing::TestSequence sequence(config(), GetParam().kv);
    std::vector<float> logits = testing::NanFilled(std::ssize(ids) * config().vocab_size);
    for (int64_t first = 0; first < std::ssize(ids); first += chunk) {
      const int64_t count = std::min(chunk, std::ssize(ids) - first);
      const Status status =
          Forward(*model_, compute(),
                  std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                  sequence.state,
                  Matrix(logits.data() + first * config().vocab_size, count, config().vocab_size));
      EXPECT_TRUE(status) << status.error().message;
    }
    return logits;
  }

  TinyModel model_{GetParam().weights, GetParam().kv};
  ThreadPool pool_{2};
  Workspace scratch_{/*poison=*/true};
  KernelContext context_{pool_, scratch_};
};

Ids RandomIds(std::mt19937& random, int64_t count) {
  Ids ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(random() % TinyModel::kBroken));
  }
  return ids;
}

// Reading n tokens gives the bits of reading them in any pieces, one by one among them.
TEST_P(Batches, CutsOfAPromptChangeNoBit) {
  std::mt19937 random(1);
  const Ids ids = RandomIds(random, 300);
  const std::vector<float> whole = Alone(ids, 300);
  for (const int64_t chunk : {1, 2, 31, 32, 33, 100, 256, 299}) {
    EXPECT_TRUE(SameBits(Alone(ids, chunk), whole)) << chunk;
  }
}

// What has been read of one sequence, and the logits that came out.
struct Reader {
  SequenceState state;
  Ids ids;
  std::vector<std::pair<size_t, std::vector<float>>> seen;  // after so many ids
};

// One random run of sequences through batches.
class Schedule {
 public:
  Schedule(const Model& model, Compute compute, DType kv_type, uint32_t seed)
      : model_(model),
        compute_(compute),
        pool_(model.config, {.kv_type = kv_type, .poison = true}),
        random_(seed) {}

  void Run() {
    for (int step = 0; step < 12; ++step) {
      Rearrange();
      Step();
    }
  }
  const std::vector<Reader>& readers() const { return readers_; }
  int failures() const { return failures_; }

 private:
  // What a batch leaves on the way.
  struct Snapshot {
    SequenceState state;
    size_t reader;
    int64_t sequence;  // of the batch
  };

  bool Sometimes(uint32_t one_in) { return random_() % one_in == 0; }
  size_t Any(size_t count) { return random_() % count; }

  Reader Copy(const Reader& reader) {
    return {reader.state.Fork().value(), reader.ids, reader.seen};
  }

  // Sequences begin, fork, are put aside, are taken up again where they were, and end.
  void Rearrange() {
    if (readers_.empty() || (readers_.size() < 16 && Sometimes(2))) {
      readers_.push_back({pool_.Create().value(), {}, {}});
    }
    if (readers_.size() < 16 && Sometimes(4)) {
      readers_.push_back(Copy(readers_[Any(readers_.size())]));
    }
    if (Sometimes(4)) aside_.push_back(Copy(readers_[Any(readers_.size())]));
    if (!aside_.empty() && Sometimes(4)) {
      // In place of one that went on from there, or of quite another.
      readers_[Any(readers_.size())] = Copy(aside_[Any(aside_.size())]);
    }
    if (readers_.size() > 1 && Sometimes(8)) {
      readers_.erase(readers_.begin() + static_cast<int64_t>(Any(readers_.size())));
    }
  }

  void Step() {
    ForwardBatch batch;
    std::vector<size_t> members;
    std::vector<Snapshot> snapshots;
    std::vector<bool> broken;
    std::vector<int64_t> wanted;
    for (size_t i = 0; i < readers_.size(); ++i) {
      if (Sometimes(4)) continue;
      Reader& reader = readers_[i];
      const auto count = static_cast<int64_t>(Sometimes(2)    ? 1
                                              : Sometimes(20) ? 250
                                                              : 1 + random_() % 40);
      Ids ids = RandomIds(random_, count);
      broken.push_back(Sometimes(30));
      if (broken.back()) ids[Any(ids.size())] = TinyModel::kBroken;
      reader.ids.insert(reader.ids.end(), ids.begin(), ids.end());
      members.push_back(i);
      wanted.push_back(
          Sometimes(3) ? 0 : 1 + static_cast<int64_t>(random_() % static_cast<uint32_t>(count)));
      ASSERT_TRUE(reader.state.Reserve(count));
      const int64_t first = reader.state.position();
      for (int64_t at = 1; at <= count; ++at) {
        if (broken.back() || !Sometimes(20)) continue;
        snapshots.push_back(
            {reader.state.ForkAt(first + at).value(), i, std::ssize(batch.sequences)});
      }
      batch.Add(ids, reader.state, wanted.back());
    }
    for (Snapshot& snapshot : snapshots) {
      batch.snapshots.push_back({snapshot.sequence, &snapshot.state});
    }
    const int64_t vocab = model_.config.vocab_size;
    std::vector<float> logits = testing::NanFilled(std::ssize(batch.logit_rows) * vocab);
    const std::vector<Status> statuses = Forward(
        model_, compute_, batch, Matrix(logits.data(), std::ssize(batch.logit_rows), vocab));
    for (Snapshot& snapshot : snapshots) {
      const auto first = readers_[snapshot.reader].ids.begin();
      Ids ids(first, first + snapshot.state.position());
      aside_.push_back({std::move(snapshot.state), std::move(ids), {}});
    }
    Take(members, broken, wanted, statuses, logits);
  }

  void Take(const std::vector<size_t>& members, const std::vector<bool>& broken,
            const std::vector<int64_t>& wanted, const std::vector<Status>& statuses,
            const std::vector<float>& logits) {
    const int64_t vocab = model_.config.vocab_size;
    auto from = logits.begin();
    for (size_t m = 0; m < members.size(); ++m) {
      Reader& reader = readers_[members[m]];
      EXPECT_EQ(statuses[m].has_value(), !broken[m]);
      EXPECT_EQ(reader.state.position(), std::ssize(reader.ids));
      for (int64_t row = 0; row < wanted[m]; ++row, from += vocab) {
        const auto after = reader.ids.size() - static_cast<size_t>(wanted[m] - 1 - row);
        if (!broken[m]) reader.seen.emplace_back(after, std::vector<float>(from, from + vocab));
      }
    }
    for (size_t m = members.size(); m-- > 0;) {
      if (!broken[m]) continue;
      EXPECT_EQ(statuses[m].error().code, ErrorCode::kNonFinite);
      EXPECT_NE(statuses[m].error().message.find("layer 0"), std::string::npos);
      readers_.erase(readers_.begin() + static_cast<int64_t>(members[m]));
      ++failures_;
    }
  }

  const Model& model_;
  Compute compute_;
  StatePool pool_;
  std::mt19937 random_;
  std::vector<Reader> readers_;
  std::vector<Reader> aside_;
  int failures_ = 0;
};

TEST_P(Batches, RandomSchedulesChangeNoBit) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const int schedules = std::max(4, GetParam().schedules / 25);
#else
  const int schedules = GetParam().schedules;
#endif
  size_t compared = 0;
  int failures = 0;
  for (int seed = 0; seed < schedules && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Schedule schedule(*model_, compute(), GetParam().kv, static_cast<uint32_t>(seed));
    schedule.Run();
    failures += schedule.failures();
    for (const Reader& reader : schedule.readers()) {
      const std::vector<float> alone =
          Alone(reader.ids, std::max<int64_t>(1, std::ssize(reader.ids)));
      const auto vocab = static_cast<size_t>(config().vocab_size);
      for (const auto& [after, logits] : reader.seen) {
        EXPECT_TRUE(SameBits(logits, std::span(alone).subspan((after - 1) * vocab, vocab)))
            << "after " << after << " of " << reader.ids.size();
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, static_cast<size_t>(20 * schedules));
  EXPECT_GT(failures, schedules / 10);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, Batches,
    ::testing::Values(
        BatchCase{.kernels = "cpu", .schedules = 500},
        BatchCase{.kernels = "ref", .schedules = 100},
        BatchCase{.kernels = "cpu", .kv = DType::kF16, .schedules = 200},
        BatchCase{.kernels = "cpu", .kv = DType::kBF16, .schedules = 200},
        BatchCase{.kernels = "cpu", .kv = DType::kQ8_0, .schedules = 200},
        BatchCase{.kernels = "ref", .kv = DType::kQ8_0, .schedules = 5},
        BatchCase{.kernels = "cpu", .weights = DType::kQ4_K, .schedules = 50},
        BatchCase{.kernels = "cpu", .weights = DType::kQ8_0, .kv = DType::kQ8_0, .schedules = 50}),
    [](const auto& kept) { return kept.param.Name(); });

}  // namespace
}  // namespace fulmen
