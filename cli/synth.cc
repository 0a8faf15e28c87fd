// fulmen synth: a model of random weights, of any geometry.
#include <fmt/core.h>

#include <atomic>
#include <csignal>
#include <optional>

#include "base/console.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "model/cost.h"
#include "model/synth.h"

namespace fulmen {
namespace {

struct GeometryOverrides {
  std::optional<int64_t> layers;
  std::optional<int64_t> softmax_every;
  std::optional<int64_t> hidden;
  std::optional<int64_t> heads;
  std::optional<int64_t> kv_heads;
  std::optional<int64_t> head_dim;
  std::optional<int64_t> rotary_dim;
  std::optional<int64_t> ffn;
  std::optional<int64_t> experts;
  std::optional<int64_t> top_k;
  std::optional<int64_t> vocab;
  std::optional<int64_t> max_position;
  std::optional<double> rope_base;
  bool tied = false;
};

struct SynthCommandOptions {
  std::string folder;
  std::string type;
  std::string preset = "small";
  GeometryOverrides geometry;
  uint64_t shard_bytes = SynthOptions().shard_bytes;
  uint64_t seed = 0;
  bool force = false;
  int threads = 0;
};

// The preset's own spacing of softmax layers: its first one ends the first group.
int64_t SoftmaxEvery(const Config& config) {
  for (int64_t i = 0; i < config.layer_count(); ++i) {
    if (config.layers[static_cast<size_t>(i)] == LayerKind::kSoftmax) return i + 1;
  }
  return 0;
}

Result<Config> BuildConfig(const SynthCommandOptions& options) {
  FULMEN_ASSIGN(Config config, PresetConfig(options.preset));
  const GeometryOverrides& geometry = options.geometry;
  const int64_t layers = geometry.layers.value_or(config.layer_count());
  // Before a list of them is made.
  if (layers < 1 || layers > kMaxLayers) {
    return Fail(ErrorCode::kInvalidArgument, "--layers should be from 1 to {}, found {}",
                kMaxLayers, layers);
  }
  config.layers = LayerPattern(layers, geometry.softmax_every.value_or(SoftmaxEvery(config)));
  SetDeepNorm(config);
  config.hidden_size = geometry.hidden.value_or(config.hidden_size);
  config.heads = geometry.heads.value_or(config.heads);
  config.kv_heads = geometry.kv_heads.value_or(config.kv_heads);
  config.head_dim = geometry.head_dim.value_or(config.head_dim);
  // A preset rotates half of each head; so does a changed one.
  if (geometry.head_dim) config.rotary_dim = config.head_dim / 4 * 2;
  config.rotary_dim = geometry.rotary_dim.value_or(config.rotary_dim);
  config.ffn_size = geometry.ffn.value_or(config.ffn_size);
  config.experts = geometry.experts.value_or(config.experts);
  config.experts_per_token = geometry.top_k.value_or(config.experts_per_token);
  config.vocab_size = geometry.vocab.value_or(config.vocab_size);
  config.max_position = geometry.max_position.value_or(config.max_position);
  config.rope_base = geometry.rope_base.value_or(config.rope_base);
  config.tied_embeddings = geometry.tied;
  return ParseConfig(ConfigToJson(config, "float32"), "the model asked for");
}

std::atomic<bool> interrupted{false};

void OnInterrupt(int) { interrupted = true; }

Status Synth(const SynthCommandOptions& options) {
  FULMEN_ASSIGN(const Config config, BuildConfig(options));
  SynthOptions synth;
  synth.dtype = options.type == "f32"   ? DType::kF32
                : options.type == "f16" ? DType::kF16
                                        : DType::kBF16;
  synth.seed = options.seed;
  synth.shard_bytes = options.shard_bytes;
  synth.force = options.force;
  // Stops between two pieces, so that what was written can be removed.
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGTERM, OnInterrupt);
  ThreadPool pool(options.threads);
  const size_t bytes = RandomModelBytes(config, synth.dtype);
  {
    constexpr size_t kUnit = 1'000'000;
    Progress progress("writing random weights, megabytes", static_cast<int64_t>(bytes / kUnit));
    size_t written = 0;
    FULMEN_TRY(WriteRandomModel(config, synth, options.folder, pool, [&](size_t piece) {
      progress.Add(static_cast<int64_t>((written + piece) / kUnit - written / kUnit));
      written += piece;
      return !interrupted;
    }));
  }
  Print("{}: {} parameters, {}\n", options.folder, HumanCount(ParameterCount(config)),
        HumanBytes(static_cast<int64_t>(bytes)));
  return {};
}

}  // namespace

void AddSynthCommand(CLI::App& app) {
  auto options = std::make_shared<SynthCommandOptions>();
  GeometryOverrides& geometry = options->geometry;
  CLI::App* command =
      app.add_subcommand("synth", "Write a model of random weights, for measuring without one");
  command->add_option("OUT", options->folder, "Folder to write, new or empty")->required();
  command->add_option("--type", options->type, "Type of the weights")
      ->required()
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command
      ->add_option("--preset", options->preset,
                   "small (16 layers, 0.7 billion parameters), text-01-slice (2 layers of the "
                   "published geometry) or train-37m (8 layers, what `train bench` is judged on)")
      ->check(CLI::IsMember({"small", "text-01-slice", "train-37m"}))
      ->capture_default_str();
  command->add_option("--layers", geometry.layers, "Layers");
  command->add_option("--softmax-every", geometry.softmax_every,
                      "Every Nth layer is softmax attention, the others lightning; 0: none is");
  command->add_option("--hidden", geometry.hidden, "Width of the residual stream");
  command->add_option("--heads", geometry.heads, "Attention heads");
  command->add_option("--kv-heads", geometry.kv_heads, "KV heads of softmax layers");
  command->add_option("--head-dim", geometry.head_dim, "Channels of a head");
  command->add_option("--rotary-dim", geometry.rotary_dim,
                      "Channels of a head that RoPE rotates (default: half of them)");
  command->add_option("--rope-base", geometry.rope_base, "Base of RoPE's frequencies");
  command->add_option("--ffn", geometry.ffn, "Width of one expert");
  command->add_option("--experts", geometry.experts, "Experts of a layer");
  command->add_option("--top-k", geometry.top_k, "Experts each token is routed to");
  command->add_option("--vocab", geometry.vocab, "Vocabulary");
  command->add_option("--max-position", geometry.max_position, "Context limit in tokens");
  command->add_flag("--tied", geometry.tied, "The embedding serves as the head");
  command->add_option("--seed", options->seed, "The same seed writes the same bytes")
      ->capture_default_str();
  command
      ->add_option("--shard-size", options->shard_bytes,
                   "Largest file, in bytes or as in 500MB (default 5 GB)")
      ->transform(CLI::AsSizeValue(true));
  command->add_flag("--force", options->force,
                    "Write into a folder that is not empty, replacing the model in it");
  command->add_option("--threads", options->threads, "Threads (default: all)")
      ->check(CLI::Range(0, 1024));
  command->footer(
      "Example: fulmen synth /tmp/slice --type bf16 --preset text-01-slice --experts 8");
  command->callback([options] { RunOrExit([&] { return Synth(*options); }); });
}

}  // namespace fulmen
