// What `fulmen bench` measures of a model: reading prompts and decoding, beside the machine's own
// peaks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cli/paired_timing.h"
#include "cli/profile_report.h"
#include "cli/session.h"
#include "kernels/profile.h"
#include "model/state.h"

namespace fulmen {

struct BenchSettings {
  // Measurements, after a warm-up. Where the peaks before and after one disagree, there is another,
  // up to three times as many.
  int repetitions = 5;
  bool profile = false;
  bool quiet = false;
};

// Medians of some measurements, each with its peaks just before and after: of those whose two peaks
// agree, or of all where there is none.
struct BenchRate {
  double tokens_per_second = 0;  // of all sequences together
  double ops_per_second = 0;     // as model/cost.h counts them
  double share_of_peak = 0;      // of arithmetic
  // Of decoding alone.
  double bytes_per_second = 0;
  double share_of_bandwidth = 0;
  double share_of_possible = 0;  // of what the scarcer of the two allows

  ProfileReport profile;  // of all of them together, where one was wanted
};

class ModelBench {
 public:
  // `threads` of any number; the model, kernels and scratch memory are the session's.
  ModelBench(Session& session, int threads, const BenchSettings& settings);

  // From now on `depth` tokens are in the context before all that is measured.
  Status Start(int64_t depth);
  Result<BenchRate> MeasurePrompt(int64_t tokens);
  Result<BenchRate> MeasureDecode(int64_t steps, int64_t sequences);

  int threads() const { return pool().size(); }
  // What most products of the model are made of, which is their peak: "FMA", "int8 dot", or "BF16
  // dot / 3": three products of BF16 for one of float32 with BF16.
  const char* arithmetic() const { return arithmetic_.name; }
  const PeakRange& computing() const { return computing_; }
  const PeakRange& bandwidth() const { return bandwidth_; }
  // The ranges of both.
  Json PeaksToJson() const;

 private:
  // The peak of an instruction.
  struct Arithmetic {
    const char* name;
    const char* json_name;
    double (*measure)(ThreadPool&);
  };
  // What one measurement took, and what it must at least move and compute.
  struct Sample {
    double seconds = 0;
    double flops = 0;
    double bytes = 0;
    double peak = 0;
    double read_bandwidth = 0;
    bool steady = false;
  };

  static Arithmetic ArithmeticOf(const Model& model);
  ThreadPool& pool() const { return own_pool_ ? *own_pool_ : session_.pool; }
  const Compute& compute() const { return profile_ ? profile_->compute() : compute_; }
  // A warm-up and as many samples as settings ask for.
  Result<std::vector<Sample>> Repeat(const std::function<Result<Sample>()>& measure);
  Result<Sample> Measure(const std::function<Status(Sample&)>& work);
  // Of samples of `tokens` tokens in `units` prompts or steps each, without the first.
  BenchRate Summarize(std::span<const Sample> samples, int64_t tokens, int64_t units) const;
  // Random tokens, so that all experts get work. The last token's logits are computed, as for an
  // answer.
  Status Read(int64_t tokens, SequenceState& state, const std::string& what);
  // Adds what its steps must move and compute.
  Status Decode(int64_t steps, std::vector<SequenceState>& states, Sample& sample);
  std::span<const int32_t> RandomTokens(int64_t count);
  Matrix Logits(int64_t rows);

  Session& session_;
  const BenchSettings& settings_;
  std::unique_ptr<ThreadPool> own_pool_;  // where the session has another number of threads
  KernelContext context_;
  Compute compute_;
  std::optional<Profile> profile_;
  StatePool states_;
  std::optional<SequenceState> start_;
  std::mt19937_64 random_{1};
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
  Arithmetic arithmetic_;
  PeakRange computing_;
  PeakRange bandwidth_;
};

}  // namespace fulmen
