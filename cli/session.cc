#include "cli/session.h"

#include <fmt/core.h>

#include <utility>

#include "base/machine.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "model/repack.h"

namespace fulmen {

Option& AddModelOption(Command& command, std::string& model, std::string help) {
  return command.Add("-m,--model MODEL", model, std::move(help))
      .Completes(Completion::kFiles)
      .Default("$FULMEN_MODEL, else the model that comes with Fulmen");
}

Option& AddMmprojOption(Command& command, std::string& mmproj) {
  return command
      .Add("--mmproj FILE", mmproj, "What reads images, of a .gguf model: a .gguf file of its own")
      .Completes(Completion::kFiles)
      .Default("mmproj-NAME.gguf beside NAME.gguf, where there is one");
}

Option& AddKernelsOption(Command& command, std::string& kernels) {
  return command.Add("--kernels NAME", kernels, "Which implementation of the operations computes")
      .Choices({"ref", "cpu"})
      .Default("$FULMEN_KERNELS, else cpu");
}

Option& AddThreadsOption(Command& command, int& threads) {
  return command.Add("--threads N", threads, "Threads that compute", {0, 1024})
      .Default("0, all processors this program may use", fmt::format("{}", AvailableProcessors()));
}

Option& AddQuietOption(Command& command, bool& quiet, const char* leaves_out) {
  return command.Add("-q,--quiet", quiet, fmt::format("No {}", leaves_out));
}

void AddSessionOptions(Command& command, SessionOptions& options) {
  AddModelOption(command, options.model,
                 "The model: a folder, a .gguf file, or OWNER/NAME of one that was pulled");
  AddKernelsOption(command, options.kernels);
  AddThreadsOption(command, options.threads);
}

void AddRepackOption(Command& command, SessionOptions& options) {
  command.Add(
      "--no-repack", options.as_stored,
      "Leave weights as the file has them: ready at once and no memory beside the file's, but "
      "slower");
}

void AddKvTypeOption(Command& command, SessionOptions& options) {
  const auto take = [&options](const std::string& name) {
    options.kv_type = *DTypeFromName(name);
    return Status();
  };
  command
      .Add("--kv-type TYPE", take,
           "How softmax layers keep keys and values: in F16 or BF16 they take half the memory, in "
           "Q8_0 about a quarter")
      .Names({"F32", "F16", "BF16", "Q8_0"})
      .Default("F32");
}

void RepackIfWanted(Session& session, const SessionOptions& options, bool quiet) {
  constexpr size_t kUnit = 1'000'000;
  constexpr size_t kLeft = size_t{2} << 30;  // for the state of sequences and all else
  const size_t bytes = options.as_stored ? 0 : RepackedBytes(session.model, session.compute);
  if (bytes == 0 || bytes + kLeft > static_cast<size_t>(AvailableMemory())) return;
  Progress progress(quiet ? "" : "repacking weights, megabytes",
                    static_cast<int64_t>(bytes / kUnit));
  RepackWeights(session.model, session.compute, [&](size_t done) {
    const size_t before = std::exchange(session.repacked_bytes, session.repacked_bytes + done);
    progress.Add(static_cast<int64_t>(session.repacked_bytes / kUnit - before / kUnit));
  });
}

EngineOptions EngineOptionsFor(const Session& session, bool keep, int64_t engines) {
  const int64_t memory = AvailableMemory();
  const auto weights = static_cast<int64_t>(session.model.checkpoint->total_bytes());
  EngineOptions options;
  options.keep = keep;
  // Weights that do not fit are read from disk again and again, and sequences need some memory yet.
  options.memory = DivideMemory(session.model.config, session.kv_type,
                                std::max(memory - weights, memory / 4) / 2 / engines);
  return options;
}

Result<std::unique_ptr<Session>> OpenSession(const SessionOptions& options) {
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(options.kernels));
  FULMEN_ASSIGN(ModelFiles files, OpenModelFiles(options.model, options.mmproj));
  FULMEN_ASSIGN(Model model, LoadModel(files));
  FULMEN_TRY(CheckKvType(options.kv_type, model.config.head_dim));
  return std::make_unique<Session>(std::move(files), std::move(model), *kernels, options);
}

}  // namespace fulmen
