// fulmen train: its subcommands, and the one that checks gradients.
#include <fmt/core.h>

#include <memory>

#include "base/console.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/session.h"
#include "train/gradients.h"

namespace fulmen {
namespace {

struct GradientsCommand {
  SessionOptions session;
  GradientOptions options;
  std::string batches;
  std::string out;
  std::string precision = "float32";
  bool json = false;
};

Status RunGradients(const GradientsCommand& command) {
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(command.session));
  FULMEN_ASSIGN(const Precision precision, PrecisionFromName(command.precision));
  FULMEN_ASSIGN(const TrainingKernels* training,
                SelectTrainingKernels(command.session.kernels, precision));
  FULMEN_ASSIGN(const Json batches, ReadJsonInput(command.batches));
  FULMEN_ASSIGN(const Json report,
                CheckGradients(session->model, Compute(*training, session->context), batches,
                               InputName(command.batches), command.options, command.out));
  if (command.json) {
    Print("{}\n", report.dump());
    return {};
  }
  for (const auto& [kind, steps] : report.items()) {
    for (size_t step = 0; step < steps.size(); ++step) {
      Print(
          "{} step {}: loss {:.6f} (cross-entropy {:.6f}, auxiliary {:.6f}), gradient norm "
          "{:.6f}\n",
          kind, step, steps[step]["loss"].get<double>(), steps[step]["cross_entropy"].get<double>(),
          steps[step]["auxiliary"].get<double>(), steps[step]["gradient_norm"].get<double>());
    }
  }
  return {};
}

void AddGradients(Command& train) {
  auto options = std::make_shared<GradientsCommand>();
  Command& command = train.AddCommand(
      "gradients", "Write the gradients and a few steps of a model on given batches, for checking");
  AddSessionOptions(command, options->session);
  command
      .Add("--batches FILE", options->batches,
           "JSON: {KIND: [row, ...]}, a row a list of documents, a document a list of ids; - is "
           "standard input")
      .Required();
  command.Add("--out FILE", options->out, "File to write: KIND.grad.TENSOR and KIND.afterN.TENSOR")
      .Required();
  command.Add("--steps N", options->options.steps, "Steps on the same data", {1, 1'000'000});
  OptimizerOptions& optimizer = options->options.optimizer;
  LossOptions& loss = options->options.loss;
  command.Add("--lr RATE", optimizer.learning_rate, "Learning rate", {.low = 0});
  command.Add("--beta1 B", optimizer.beta1, "Decay of the first moment", {0, 1});
  command.Add("--beta2 B", optimizer.beta2, "Decay of the second moment", {0, 1});
  command.Add("--epsilon E", optimizer.epsilon, "Added to the root of the second moment",
              {.low = 0});
  command.Add("--weight-decay D", optimizer.weight_decay, "Decoupled, on every tensor", {.low = 0});
  command.Add("--clip NORM", optimizer.clip, "Largest global norm of the gradients, 0 for any",
              {.low = 0});
  command.Add("--aux W", loss.auxiliary, "Weight of the load-balance loss", {.low = 0});
  command.Add("--z-loss W", loss.z, "Weight of the router z-loss", {.low = 0});
  command.Add("--capacity C", loss.capacity,
              "Share of an even load at which an expert drops tokens, 0 for never", {.low = 0});
  command.Add("--recompute", loss.recompute,
              "Keep the inputs of layers and what softmax attention gave, compute the rest again");
  AddPrecisionOption(command, options->precision);
  command.Add("--json", options->json, "Print {KIND: [losses and gradient norm per step]}");
  command.Examples(
      {"echo '{\"short\": [[[1, 2, 3, 4]]]}' | fulmen train gradients --batches - "
       "--steps 1 --out /tmp/gradients.safetensors"});
  command.Run([options] { return RunGradients(*options); });
}

}  // namespace

void AddPrecisionOption(Command& command, std::string& precision) {
  command.Add("--precision NAME", precision, "What dense products round their operands to")
      .Choices({"float32", "bfloat16"});
}

void AddTrainCommand(Command& program) {
  Command& train = program.AddCommand("train", "Train a model, and what belongs to it");
  AddGradients(train);
  AddTrainBench(train);
  AddTrainData(train);
  AddTrainSweep(train);
  AddTrainRun(train);
}

}  // namespace fulmen
