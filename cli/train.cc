// fulmen train: its subcommands, and the one that checks gradients.
#include <fmt/core.h>

#include <memory>

#include "base/console.h"
#include "base/json.h"
#include "cli/commands.h"
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
  FULMEN_ASSIGN(const Json batches, ReadJsonFile(command.batches));
  FULMEN_ASSIGN(const Json report,
                CheckGradients(session->model, session->kernels, *training, session->context,
                               batches, command.batches, command.options, command.out));
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

void AddGradients(CLI::App& train) {
  auto command = std::make_shared<GradientsCommand>();
  CLI::App* app = train.add_subcommand(
      "gradients", "Write the gradients and a few steps of a model on given batches, for checking");
  AddSessionOptions(*app, command->session);
  app->add_option("--batches", command->batches,
                  "JSON: {KIND: [row, ...]}, a row a list of documents, a document a list of ids")
      ->required();
  app->add_option("--out", command->out, "File to write: KIND.grad.TENSOR and KIND.afterN.TENSOR")
      ->required();
  app->add_option("--steps", command->options.steps, "Steps on the same data (default 3)")
      ->check(CLI::Range(1, 1000000));
  OptimizerOptions& optimizer = command->options.optimizer;
  app->add_option("--lr", optimizer.learning_rate, "Learning rate (default 1e-3)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--beta1", optimizer.beta1, "Decay of the first moment (default 0.9)")
      ->check(CLI::Range(0.0, 1.0));
  app->add_option("--beta2", optimizer.beta2, "Decay of the second moment (default 0.95)")
      ->check(CLI::Range(0.0, 1.0));
  app->add_option("--epsilon", optimizer.epsilon,
                  "Added to the root of the second moment (default 1e-6)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--weight-decay", optimizer.weight_decay,
                  "Decoupled, on every tensor (default 0.1)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--clip", optimizer.clip,
                  "Largest global norm of the gradients, 0 for any (default 0.5)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--aux", command->options.loss.auxiliary,
                  "Weight of the load-balance loss (default 0.01)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--z-loss", command->options.loss.z, "Weight of the router z-loss (default 0)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--capacity", command->options.loss.capacity,
                  "Share of an even load at which an expert drops tokens, 0 for never (default 0)")
      ->check(CLI::NonNegativeNumber);
  app->add_flag(
      "--recompute", command->options.loss.recompute,
      "Keep the inputs of layers and what softmax attention gave, compute the rest again");
  AddPrecisionOption(*app, command->precision);
  app->add_flag("--json", command->json, "Print {KIND: [losses and gradient norm per step]}");
  app->footer(
      "Example: fulmen train gradients -m MODEL --batches batches.json --steps 3 --out "
      "gradients.safetensors");
  app->callback([command] { RunOrExit([&] { return RunGradients(*command); }); });
}

}  // namespace

void AddPrecisionOption(CLI::App& command, std::string& precision) {
  command.add_option("--precision", precision, "What dense products round their operands to")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
}

void AddTrainCommand(CLI::App& app) {
  CLI::App* train = app.add_subcommand("train", "Train a model: fulmen train CONFIG.toml");
  train->require_subcommand(0, 1);
  AddGradients(*train);
  AddTrainBench(*train);
  AddTrainData(*train);
  AddTrainSweep(*train);
  AddTrainRun(*train);
  train->footer(
      "CONFIG is a TOML file; any field of it can be given as a flag, those of a stage as\n"
      "--stages.NAME.FIELD. Several ranks: mpirun -np 2 fulmen train CONFIG.toml\n\n"
      "Example: fulmen train run.toml --optimizer.learning_rate 3e-4 --out runs/first");
}

}  // namespace fulmen
