#include "cli/session.h"

#include "cli/default_model.h"

namespace fulmen {

void AddSessionOptions(CLI::App& command, SessionOptions& options) {
  command.add_option("-m,--model", options.model,
                     "Folder of the model (default: the embedded one)");
  command
      .add_option("--kernels", options.kernels, "ref or cpu (default: $FULMEN_KERNELS, else cpu)")
      ->check(CLI::IsMember({"ref", "cpu"}));
  command.add_option("--threads", options.threads, "Threads to use (default: all processors)")
      ->check(CLI::Range(1, 1024));
}

Result<std::unique_ptr<Session>> OpenSession(const SessionOptions& options) {
  std::string path = options.model;
  if (path.empty()) {
    FULMEN_ASSIGN(path, DefaultModelPath());
  }
  FULMEN_ASSIGN(const Kernels* kernels, SelectKernels(options.kernels));
  FULMEN_ASSIGN(Model model, LoadModel(path));
  return std::make_unique<Session>(std::move(path), std::move(model), *kernels, options.threads);
}

}  // namespace fulmen
