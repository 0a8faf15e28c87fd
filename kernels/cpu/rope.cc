#include "kernels/rope.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Tokens per task share one thread's table of cosines and sines.
constexpr int64_t kTaskTokens = 8;

// The float32 angle is exact input to double sine and cosine: positions reach ten million, where a
// float32 range reduction would lose digits.
void FillAngles(int64_t position, std::span<const float> inverse_frequencies, float* cosines,
                float* sines) {
  for (size_t i = 0; i < inverse_frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * inverse_frequencies[i];
    cosines[i] = static_cast<float>(std::cos(double{angle}));
    sines[i] = static_cast<float>(std::sin(double{angle}));
  }
}

void RotateHead(const float* HWY_RESTRICT cosines, const float* HWY_RESTRICT sines, int64_t half,
                float* HWY_RESTRICT head) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const FloatsV cosine = hn::LoadU(d, cosines + i);
    const FloatsV sine = hn::LoadU(d, sines + i);
    const FloatsV a = hn::LoadU(d, head + i);
    const FloatsV b = hn::LoadU(d, head + half + i);
    hn::StoreU(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), d, head + i);
    hn::StoreU(hn::MulAdd(a, sine, hn::Mul(b, cosine)), d, head + half + i);
  }
  for (; i < half; ++i) {
    const float a = head[i];
    const float b = head[half + i];
    head[i] = a * cosines[i] - b * sines[i];
    head[half + i] = b * cosines[i] + a * sines[i];
  }
}

void Rope(KernelContext& context, std::span<const int64_t> positions,
          std::span<const float> inverse_frequencies, int64_t head_dim, Matrix x) {
  const int64_t half = static_cast<int64_t>(inverse_frequencies.size());
  FULMEN_CHECK(2 * half <= head_dim && x.cols % head_dim == 0 &&
                   x.rows == static_cast<int64_t>(positions.size()),
               "x is [{}, {}] for {} positions, heads of {} and {} frequencies", x.rows, x.cols,
               positions.size(), head_dim, half);
  Workspace::Frame frame(context.scratch);
  // Whole cache lines per thread, so that threads do not write to a shared one.
  const Matrix tables =
      context.scratch.AllocateMatrix(context.pool.size(), (2 * half + 15) / 16 * 16);
  // A sine and a cosine cost about as much as 64 vector operations.
  const int64_t work = x.rows * (64 * half + x.cols);
  ForTasks(context.pool, (x.rows + kTaskTokens - 1) / kTaskTokens, work,
           [&](int64_t task, int worker) {
             float* cosines = tables.row(worker);
             float* sines = cosines + half;
             const int64_t end = std::min(x.rows, (task + 1) * kTaskTokens);
             for (int64_t t = task * kTaskTokens; t < end; ++t) {
               FillAngles(positions[static_cast<size_t>(t)], inverse_frequencies, cosines, sines);
               for (int64_t c = 0; c < x.cols; c += head_dim) {
                 RotateHead(cosines, sines, half, x.row(t) + c);
               }
             }
           });
}

void Fill(Kernels& kernels) { kernels.rope = Rope; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterRope(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
