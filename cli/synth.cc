// fulmen synth: a model of random weights, of any geometry.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <optional>

#include "base/console.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/gguf_output.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "model/cost.h"
#include "model/synth.h"
#include "quantize/random_gguf.h"
#include "tokenizer/stand_in.h"

namespace fulmen {
namespace {

// Of layers, channels, experts, tokens: any int32, which no sum or product of a few can overflow.
constexpr Range<int64_t> kCount{1, std::numeric_limits<int32_t>::max()};

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
  std::string out;
  std::string type;
  std::string preset = "small";
  GeometryOverrides geometry;
  std::optional<uint64_t> shard_bytes;
  uint64_t seed = 0;
  bool force = false;
  bool quiet = false;
  int threads = 0;
};

// "500MB", "2 GB" or bytes into `bytes`: decimal units, as HumanBytes prints them.
Status ParseBytes(const std::string& text, std::optional<uint64_t>& bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string_view unit = std::string_view(text).substr(digits);
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  uint64_t factor = 1;
  for (const std::string_view known : kUnits) {
    if (unit.empty() || unit == known) break;
    factor *= 1000;
  }
  const auto number = ParseNumber<uint64_t>(std::string_view(text).substr(0, digits),
                                            {1, std::numeric_limits<int64_t>::max() / factor});
  if (factor > 1'000'000'000'000 || !number) {
    return Fail(ErrorCode::kInvalidArgument,
                "should be a size in bytes or as in 500MB or 5GB, found \"{}\"", text);
  }
  bytes = *number * factor;
  return {};
}

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
  if (config.vision) config.vision->image_token = static_cast<int32_t>(config.vocab_size - 1);
  return ParseConfig(ConfigToJson(config, "float32"), "the model asked for");
}

bool IsGgufName(const std::string& name) { return name.ends_with(".gguf"); }

// What is asked of a file and of a folder differs.
Status CheckOut(const SynthCommandOptions& options) {
  const bool gguf = IsGgufName(options.out);
  FULMEN_ASSIGN(const Mix* mix, FindMix(options.type));
  if (!gguf && mix->base != DType::kF32 && mix->base != DType::kBF16 && mix->base != DType::kF16) {
    return Fail(ErrorCode::kInvalidArgument,
                "--type {} is for an OUT that ends in .gguf; folders hold F32, BF16 or F16",
                mix->name);
  }
  if (gguf && (options.force || options.shard_bytes)) {
    return Fail(ErrorCode::kInvalidArgument, "{} does nothing for an OUT that ends in .gguf",
                options.force ? "--force" : "--shard-size");
  }
  return {};
}

Status WriteFolder(const SynthCommandOptions& options, const Config& config, const Mix& mix,
                   ThreadPool& pool, const std::function<bool(size_t)>& progress) {
  SynthOptions synth;
  synth.dtype = mix.base;
  synth.seed = options.seed;
  synth.shard_bytes = options.shard_bytes.value_or(synth.shard_bytes);
  synth.force = options.force;
  const ChatFormat format = config.vision ? ChatFormat::kVl01 : ChatFormat::kText01;
  if (const std::optional<TokenizerSource> tokenizer =
          StandInTokenizer(config.vocab_size, format)) {
    synth.beside = {{"tokenizer.json", tokenizer->tokenizer_json->text},
                    {"tokenizer_config.json", tokenizer->tokenizer_config->text}};
  }
  return WriteRandomModel(config, synth, options.out, pool, progress);
}

Status Synth(const SynthCommandOptions& options) {
  FULMEN_ASSIGN(const Config config, BuildConfig(options));
  FULMEN_ASSIGN(const Mix* mix, FindMix(options.type));
  const bool gguf = IsGgufName(options.out);
  std::vector<GgufFile> files;
  if (gguf) {
    FULMEN_ASSIGN(files, PlanRandomGguf(config, *mix, options.out));
  }
  const size_t bytes = gguf ? BytesOfTensors(files) : RandomModelBytes(config, mix->base);
  // Stops between two pieces, so that what was written can be removed.
  const InterruptGuard interrupt;
  ThreadPool pool(options.threads);
  {
    constexpr size_t kUnit = 1'000'000;
    Progress progress(options.quiet ? "" : "writing random weights, megabytes",
                      static_cast<int64_t>(bytes / kUnit));
    size_t written = 0;
    const auto count = [&](size_t piece) {
      progress.Add(static_cast<int64_t>((written + piece) / kUnit - written / kUnit));
      written += piece;
      return !interrupt.flag();
    };
    FULMEN_TRY(gguf ? WriteRandomGguf(config, files, options.seed, pool, count)
                    : WriteFolder(options, config, *mix, pool, count));
  }
  Print("{}: {} parameters, {}\n", gguf ? NamesOf(files) : options.out,
        HumanCount(ParameterCount(config)), HumanBytes(static_cast<int64_t>(bytes)));
  return {};
}

}  // namespace

void AddSynthCommand(Command& program) {
  auto options = std::make_shared<SynthCommandOptions>();
  GeometryOverrides& geometry = options->geometry;
  Command& command =
      program.AddCommand("synth", "Write a model of random weights, for measuring without one");
  command.Add("OUT", options->out, "Folder to write, new or empty, or a file NAME.gguf")
      .Completes(Completion::kFiles)
      .Required();
  command.Add("--type TYPE", options->type, "Types of the weights, quantized ones for a .gguf only")
      .Names(MixNames())
      .Required();
  command
      .Add("--preset NAME", options->preset,
           "small (16 layers, 0.7 billion parameters), text-01-slice (2 layers of the published "
           "geometry), train-37m (8 layers, what `train bench` is judged on), or with images: "
           "vl-small (a tower of 6 layers before small) or vl-01-slice (the published tower before "
           "text-01-slice)")
      .Choices(PresetNames());
  command.Add("--seed N", options->seed, "The same seed writes the same bytes");
  command
      .Add(
          "--shard-size SIZE",
          [options](const std::string& text) { return ParseBytes(text, options->shard_bytes); },
          "Largest file of a folder, in bytes or as in 500MB")
      .Default(HumanBytes(static_cast<int64_t>(SynthOptions().shard_bytes)));
  command.Add("--force", options->force,
              "Write into a folder that is not empty, replacing the model in it");
  AddThreadsOption(command, options->threads);
  AddQuietOption(command, options->quiet);
  command.Group("Geometry, instead of the preset's");
  command.Add("--layers N", geometry.layers, "Layers", kCount);
  command.Add("--softmax-every N", geometry.softmax_every,
              "Every Nth layer is softmax attention, the others lightning; 0: none is",
              {0, kCount.high});
  command.Add("--hidden N", geometry.hidden, "Width of the residual stream", kCount);
  command.Add("--heads N", geometry.heads, "Attention heads", kCount);
  command.Add("--kv-heads N", geometry.kv_heads, "KV heads of softmax layers", kCount);
  command.Add("--head-dim N", geometry.head_dim, "Channels of a head", kCount);
  command.Add("--rotary-dim N", geometry.rotary_dim, "Channels of a head that RoPE rotates", kCount)
      .Default("half of them");
  command.Add("--rope-base B", geometry.rope_base, "Base of RoPE's frequencies", {1, 1e30});
  command.Add("--ffn N", geometry.ffn, "Width of one expert", kCount);
  command.Add("--experts N", geometry.experts, "Experts of a layer", kCount);
  command.Add("--top-k N", geometry.top_k, "Experts each token is routed to", kCount);
  command.Add("--vocab N", geometry.vocab, "Vocabulary", kCount);
  command.Add("--max-position N", geometry.max_position, "Context limit in tokens", kCount);
  command.Add("--tied", geometry.tied, "The embedding serves as the head");
  command.Examples({"fulmen synth /tmp/slice --type bf16 --preset text-01-slice --experts 8",
                    "fulmen synth /tmp/slice.gguf --type q4_k_m --preset text-01-slice"});
  command.Check([options] { return CheckOut(*options); });
  command.Run([options] { return Synth(*options); });
}

}  // namespace fulmen
