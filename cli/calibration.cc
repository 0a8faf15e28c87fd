#include "cli/calibration.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/console.h"
#include "base/file_io.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/text_tokens.h"
#include "kernels/compute.h"

namespace fulmen {

Result<ImportanceMatrix> CalibrateOn(const ModelFiles& files, const Model& model,
                                     const CalibrationOptions& options) {
  if (options.context > model.config.max_position) {
    return Fail(ErrorCode::kInvalidArgument, "--context {} exceeds the model's context limit of {}",
                options.context, model.config.max_position);
  }
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(""));
  FULMEN_ASSIGN(const std::vector<int32_t> ids, ReadTextTokens(options.text, files, model.config));
  ThreadPool pool(options.threads);
  Workspace scratch;
  KernelContext context{pool, scratch};
  const InterruptGuard interrupt;
  Progress progress(options.quiet ? "" : "calibrating", std::ssize(ids));
  int64_t done = 0;
  const auto add = [&](int64_t tokens) {
    done += tokens;
    progress.Add(tokens);
  };
  Result<ImportanceMatrix> importance =
      Calibrate(model, Compute(*kernels, context), ids, options.context, add, &interrupt.flag());
  if (!importance) {
    if (importance.error().code != ErrorCode::kCancelled) return importance;
    return Fail(ErrorCode::kCancelled, "interrupted after {} of {} tokens; nothing was written",
                done, ids.size());
  }
  importance->datasets = {InputName(options.text)};
  return importance;
}

void SayGaps(const ImportanceMatrix& importance, const Model& model) {
  constexpr size_t kNamed = 4;
  const ImportanceGaps gaps = FindGaps(importance, model);
  if (!gaps.tensors.empty()) {
    const std::span named = std::span(gaps.tensors).first(std::min(kNamed, gaps.tensors.size()));
    Say("The importance matrix lacks {} tensor{}, whose columns count alike: {}{}\n",
        gaps.tensors.size(), gaps.tensors.size() == 1 ? "" : "s", fmt::join(named, ", "),
        named.size() < gaps.tensors.size() ? ", ..." : "");
  }
  if (gaps.experts > 0) {
    Say("No token reached {} of the model's {} experts, whose columns count alike; a longer text "
        "may.\n",
        gaps.experts, model.config.layer_count() * model.config.experts);
  }
}

Status CheckCanBeWritten(const std::string& path) {
  std::error_code absent;  // then a file will be made
  const std::filesystem::file_status status = std::filesystem::status(path, absent);
  if (std::filesystem::is_other(status) || path == "-") return {};
  // What it wrote to is removed when it is not committed.
  FULMEN_TRY(AtomicFile::Create(path));
  return {};
}

}  // namespace fulmen
