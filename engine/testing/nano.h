// What tests of the engine share: the embedded model, loaded once, and an engine on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {

template <class T>
T ValueOrDie(Result<T> result) {
  FULMEN_CHECK(result.has_value(), "{}", result.error().message);
  return *std::move(result);
}

inline std::string NanoFolder() { return SourcePath("models/fulmen-nano"); }
inline const Model& NanoModel() {
  static const Model model = ValueOrDie(LoadModel(NanoFolder()));
  return model;
}
inline const Tokenizer& NanoTokenizer() {
  static const Tokenizer tokenizer = ValueOrDie(Tokenizer::Load(NanoFolder()));
  return tokenizer;
}
// The embedded model with something changed; its weights stay where they are.
inline Model NanoVariant() {
  return {NanoModel().config, nullptr, NanoModel().weights, NanoModel().unused_ids};
}

// The host's, counting what is taken of it.
class CountedMemory final : public MemorySource {
 public:
  void* Allocate(size_t bytes) override {
    ++allocations_;
    return HostMemory().Allocate(bytes);
  }
  void Free(void* data) override { HostMemory().Free(data); }
  void Fill(void* data, std::byte value, size_t bytes) override {
    HostMemory().Fill(data, value, bytes);
  }
  int64_t allocations() const { return allocations_; }

 private:
  int64_t allocations_ = 0;
};

// An engine with threads of its own, in memory where what is given back turns into NaN.
struct TestEngine {
  explicit TestEngine(const Model& model = NanoModel(),
                      const Tokenizer* tokenizer = &NanoTokenizer(), EngineOptions options = {},
                      int threads = 1, const std::string& kernels = "cpu")
      : pool(threads),
        engine(model, tokenizer, Compute(*ValueOrDie(SelectKernels(kernels)), context),
               Poisoned(std::move(options))) {}

  static EngineOptions Poisoned(EngineOptions options) {
    options.memory.poison = true;
    return options;
  }

  ThreadPool pool;
  CountedMemory memory;
  Workspace scratch{/*poison=*/true, memory};
  KernelContext context{pool, scratch};
  Engine engine;
};

inline void RunToEnd(Engine& engine) {
  while (engine.Step()) {
  }
}

}  // namespace fulmen::testing
