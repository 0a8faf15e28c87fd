#include "kernels/peak.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/cpu/peak_loops.h"
#include "kernels/cpu/targets.h"

namespace fulmen {
namespace {

// Each loop has twelve sums, beginning with 0, 1 .. 11.
constexpr int kSums = 12;
constexpr int kFirstSums = 66;

TEST(PeakLoops, DoTheWorkTheyCount) {
  constexpr int kIterations = 128;
  for (const std::string& target : cpu::Targets()) {
    SCOPED_TRACE(target);
    const cpu::PeakLoops loops = cpu::LoopsOf(target);
    double fma = 0;
    for (int i = 0; i < kSums; ++i) {
      float sum = static_cast<float>(i);
      for (int n = 0; n < kIterations; ++n) sum = sum * 0.999F + 0.001F;
      fma += double{sum};
    }
    // Two roundings a step here, one or two there.
    EXPECT_NEAR(loops.fma.loop(kIterations), fma, fma * kIterations * 4 * 0x1p-24);
    // Of 1 and -1: four products for each sum, or 64 for each of four that begin with 0.
    if (loops.int8) {
      EXPECT_EQ(loops.int8->counted.loop(kIterations), target == "AVX3_AMX"
                                                           ? -4 * 64 * kIterations
                                                           : kFirstSums - 4 * kSums * kIterations);
    }
    // Of 1 and 1/128: two products for each sum, or 32 for each of four that begin with 0.
    if (loops.bf16) {
      EXPECT_EQ(loops.bf16->counted.loop(kIterations),
                target == "AVX3_AMX" ? 4 * 32 * kIterations / 128
                                     : kFirstSums + 2 * kSums * kIterations / 128);
    }
    const std::vector<float> page(1024, std::bit_cast<float>(0x01010101));
    EXPECT_EQ(loops.read(reinterpret_cast<const std::byte*>(page.data()), 4096), page[0]);
  }
}

#if defined(__x86_64__)

// What the system says of this processor.
bool HasFlag(const std::string& flag) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word == flag) return true;
    }
    return false;
  }
  ADD_FAILURE() << "/proc/cpuinfo has no flags";
  return false;
}

TEST(Targets, AvxVnniIsPreferredToPlainAvx2) {
  const std::vector<std::string> targets = cpu::Targets();
  const auto vnni = std::find(targets.begin(), targets.end(), "AVX2_VNNI");
  ASSERT_EQ(vnni != targets.end(), HasFlag("avx_vnni"));
  if (vnni == targets.end()) return;
  ASSERT_NE(vnni + 1, targets.end());
  EXPECT_EQ(vnni[1], "AVX2");
}

TEST(Targets, AmxIsPreferredToAvx512Alone) {
  const std::vector<std::string> targets = cpu::Targets();
  const auto amx = std::find(targets.begin(), targets.end(), "AVX3_AMX");
  if (amx == targets.end()) GTEST_SKIP() << "no AMX, or none for this process";
  EXPECT_TRUE(HasFlag("amx_int8"));
  ASSERT_NE(amx + 1, targets.end());
  EXPECT_EQ(amx[1], "AVX3_DL");
}

TEST(PeakLoops, TakeTheBestProductOfBytes) {
  for (const std::string& target : cpu::Targets()) {
    SCOPED_TRACE(target);
    const cpu::PeakLoops loops = cpu::LoopsOf(target);
    std::string expected = "vpmaddubsw, vpmaddwd, vpaddd of 512 bits";
    if (target == "AVX2_VNNI") expected = "vpdpbusd of 256 bits (AVX-VNNI)";
    if (target == "AVX2") expected = "vpmaddubsw, vpmaddwd, vpaddd of 256 bits";
    if (target == "SSE4") expected = "pmaddubsw, pmaddwd, paddd of 128 bits";
    const bool best = cpu::FindTarget(target)->bit == cpu::FindTarget(cpu::Targets().front())->bit;
    if (best && HasFlag("avx512_vnni")) expected = "vpdpbusd of 512 bits";
    if (target == "AVX3_AMX") expected = "tdpbssd (AMX)";
    ASSERT_TRUE(loops.int8.has_value());
    EXPECT_EQ(loops.int8->instructions, expected);
    EXPECT_EQ(loops.bf16.has_value(), best && HasFlag("avx512_bf16"));
    EXPECT_EQ(loops.bf16_weights, target == "AVX3_AMX");
    if (loops.bf16) {
      EXPECT_STREQ(loops.bf16->instructions, loops.bf16_weights ? "tdpbf16ps (AMX)" : "vdpbf16ps");
    }
  }
}

#elif defined(__aarch64__)

TEST(PeakLoops, TakeTheBestProductOfBytes) {
  for (const std::string& target : cpu::Targets()) {
    SCOPED_TRACE(target);
    const cpu::PeakLoops loops = cpu::LoopsOf(target);
    ASSERT_EQ(loops.int8.has_value(), target == "NEON_DOTPROD");
    if (loops.int8) {
      EXPECT_STREQ(loops.int8->instructions, "sdot");
    }
    EXPECT_FALSE(loops.bf16);
  }
}

#endif

// No processor adds up faster than two vectors of 512 bits at 7 GHz, or reads faster than 1 TB/s
// with one thread; a loop whose work was optimised away would. None is slower than a tenth of an
// operation a cycle, however busy it is.
TEST(Peaks, ArePlausible) {
  constexpr double kLeast = 1e8;
  constexpr double kMostVectors = 2 * 7e9;
  ThreadPool pool(1);
  const Peaks peaks = MeasurePeaks(pool);
  EXPECT_GT(peaks.fma_flops, kLeast);
  EXPECT_LT(peaks.fma_flops, kMostVectors * 2 * 16);
  EXPECT_GT(peaks.read_bandwidth, kLeast);
  EXPECT_LT(peaks.read_bandwidth, 1e12);
  const cpu::PeakLoops loops = cpu::ChosenLoops();
  ASSERT_EQ(peaks.int8_dot.has_value(), loops.int8.has_value());
  if (peaks.int8_dot) {
    EXPECT_GT(peaks.int8_dot->ops, kLeast);
    // AMX multiplies eight times as much.
    EXPECT_LT(peaks.int8_dot->ops, kMostVectors * 2 * 64 * 8);
    EXPECT_EQ(peaks.int8_dot->instructions, loops.int8->instructions);
  }
  ASSERT_EQ(peaks.bf16_dot.has_value(), loops.bf16.has_value());
  if (peaks.bf16_dot) {
    EXPECT_GT(peaks.bf16_dot->ops, kLeast);
    EXPECT_LT(peaks.bf16_dot->ops, kMostVectors * 2 * 32 * 8);
  }
}

}  // namespace
}  // namespace fulmen
