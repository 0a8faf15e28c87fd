// fulmen inspect: what a checkpoint holds, and what it needs on this machine.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/units.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "engine/strides.h"
#include "model/cost.h"
#include "model/summary.h"

namespace fulmen {
namespace {

struct InspectOptions {
  std::string model;
  std::string mmproj;
  bool json = false;
  bool verify = false;
  bool tensors = false;
  bool quiet = false;
  int threads = 0;
};

// What a long prompt leaves in the prefix cache where memory has room for all of it.
int64_t SnapshotTokens(const ModelSummary& summary) {
  return std::min<int64_t>(summary.config.max_position, 1'000'000);
}
int64_t SnapshotBytes(const ModelSummary& summary) {
  return StridesIn(SnapshotTokens(summary)) * summary.state_bytes;
}

Json SummaryJson(const ModelSummary& summary) {
  const Config& config = summary.config;
  Json json;
  json["architecture"] = config.architecture;
  json["layers"] = {{"total", config.layer_count()},
                    {"lightning", summary.lightning_layers},
                    {"softmax", summary.softmax_layers}};
  json["parameters"] = {
      {"total", summary.parameters},
      {"active_per_token", summary.active_parameters},
      {"active_per_token_with_embedding_and_head", summary.active_parameters_with_embeddings}};
  json["weights_present"] = summary.weights_present;
  json["tensors"] = summary.tensors;
  json["bytes_per_dtype"] = summary.bytes_per_type;
  json["weights_bytes"] = summary.weights_bytes;
  json["kv_bytes_per_token"] = summary.kv_bytes_per_token;
  json["kv_bytes_per_token_bf16"] = summary.kv_bytes_per_token_bf16;
  json["state_bytes_per_sequence"] = summary.state_bytes;
  json["snapshots"] = {{"tokens", SnapshotTokens(summary)},
                       {"count", StridesIn(SnapshotTokens(summary))},
                       {"bytes", SnapshotBytes(summary)}};
  json["machine"] = {{"memory_bytes", summary.memory_bytes},
                     {"fits", summary.fits()},
                     {"context_tokens_that_fit", summary.context_that_fits}};
  json["context_limit"] = config.max_position;
  json["vocabulary"] = config.vocab_size;
  json["hidden_size"] = config.hidden_size;
  json["heads"] = config.heads;
  json["kv_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["rotary_dim"] = config.rotary_dim;
  json["rope_base"] = config.rope_base;
  json["experts"] = config.experts;
  json["experts_per_token"] = config.experts_per_token;
  json["expert_width"] = config.ffn_size;
  json["post_norm"] = config.post_norm;
  json["tied_embeddings"] = config.tied_embeddings;
  if (config.vision) {
    const VisionConfig& vision = *config.vision;
    json["vision"] = {{"parameters", VisionParameterCount(config)},
                      {"layers", vision.layers},
                      {"width", vision.width},
                      {"heads", vision.heads},
                      {"ffn_width", vision.ffn_size},
                      {"tile", vision.tiles.tile},
                      {"patch", vision.tiles.patch},
                      {"grids", vision.tiles.pinpoints.size()},
                      {"most_tokens_per_image", LargestImage(vision.tiles)},
                      {"image_token", vision.image_token}};
  }
  return json;
}

void PrintLine(std::string_view label, const std::string& text) {
  Print("{:<16}{}\n", label, text);
}

void PrintSummary(const ModelSummary& summary) {
  const Config& config = summary.config;
  PrintLine("architecture", config.architecture);
  PrintLine("layers", fmt::format("{}: {} lightning, {} softmax", config.layer_count(),
                                  summary.lightning_layers, summary.softmax_layers));
  PrintLine(
      "attention",
      fmt::format("{} heads of {} ({} KV heads), RoPE on {} channels, base {:.10g}", config.heads,
                  config.head_dim, config.kv_heads, config.rotary_dim, config.rope_base));
  PrintLine("experts", fmt::format("{} of width {}, {} per token", config.experts, config.ffn_size,
                                   config.experts_per_token));
  PrintLine("width", fmt::format("{} hidden, {} vocabulary{}", config.hidden_size,
                                 config.vocab_size, config.tied_embeddings ? ", tied head" : ""));
  if (config.vision) {
    const VisionConfig& vision = *config.vision;
    PrintLine("vision",
              fmt::format("{} layers of width {}, {} heads; tiles of {} in patches of {}, "
                          "up to {} tokens per image",
                          vision.layers, vision.width, vision.heads, vision.tiles.tile,
                          vision.tiles.patch, LargestImage(vision.tiles)));
  }
  PrintLine("context limit", fmt::format("{} tokens", config.max_position));
  PrintLine("parameters",
            fmt::format("{} in total, {} active per token ({} with embedding and head)",
                        HumanCount(summary.parameters), HumanCount(summary.active_parameters),
                        HumanCount(summary.active_parameters_with_embeddings)));
  std::string types;
  for (const auto& [type, bytes] : summary.bytes_per_type) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, HumanBytes(bytes));
  }
  PrintLine("weights", fmt::format("{} in {} tensors: {}{}", HumanBytes(summary.weights_bytes),
                                   summary.tensors, types,
                                   summary.weights_present ? "" : " (as the index declares)"));
  PrintLine("KV cache", fmt::format("{} per token in float32, {} with --kv-type BF16",
                                    HumanBytes(summary.kv_bytes_per_token),
                                    HumanBytes(summary.kv_bytes_per_token_bf16)));
  PrintLine("state", fmt::format("{} per sequence in float32", HumanBytes(summary.state_bytes)));
  const int64_t tokens = SnapshotTokens(summary);
  if (StridesIn(tokens) > 0) {
    PrintLine("prefix cache",
              fmt::format("{} states in {} of a prompt of {} tokens, beside {} of keys and values; "
                          "fewer where memory has less room",
                          StridesIn(tokens), HumanBytes(SnapshotBytes(summary)), tokens,
                          HumanBytes(tokens * summary.kv_bytes_per_token)));
  }
  PrintLine("this machine",
            summary.fits()
                ? fmt::format("{} of memory: fits, with {} tokens of context",
                              HumanBytes(summary.memory_bytes), summary.context_that_fits)
                : fmt::format("{} of memory: does not fit", HumanBytes(summary.memory_bytes)));
}

constexpr size_t kMostShown = 60;  // of one value of the metadata

Json ValueJson(const GgufValue& value) {
  if (value.array) return {{"elements", value.size}};
  const auto text = value.String();
  return text ? Json(ReplaceInvalidUtf8(*text)) : value.ToJson();
}

Json GgufJson(const GgufModel& model) {
  const GgufHeader& header = model.header();
  Json metadata = Json::object();
  // Keys are unique already, and looking for each among the others takes long.
  std::vector<std::pair<const std::string, Json>>& members = metadata.get_ref<Json::object_t&>();
  for (const auto& [key, value] : header.metadata) {
    members.emplace_back(ReplaceInvalidUtf8(key), ValueJson(value));
  }
  return {{"version", header.version}, {"parts", model.parts.size()}, {"metadata", metadata}};
}

std::string GgufLine(const GgufModel& model) {
  return fmt::format("GGUF version {}, {} part{}, {} metadata entries", model.header().version,
                     model.parts.size(), model.parts.size() == 1 ? "" : "s",
                     model.header().metadata.size());
}

// Appends to `json`, or prints: what a GGUF model says about itself.
void DescribeGguf(const ModelFiles& files, bool as_json, Json& json) {
  const GgufHeader& header = files.gguf()->header();
  if (as_json) {
    json["gguf"] = GgufJson(*files.gguf());
    if (files.mmproj()) {
      json["mmproj"] = GgufJson(*files.mmproj());
      json["mmproj"]["file"] = ReplaceInvalidUtf8(files.mmproj()->where());
    }
    return;
  }
  PrintLine("file", GgufLine(*files.gguf()));
  if (files.mmproj()) {
    PrintLine("vision file",
              fmt::format("{}, {}", Printable(files.mmproj()->where()), GgufLine(*files.mmproj())));
  }
  const auto line = [&](const char* label, const std::vector<const char*>& keys) {
    std::string text;
    for (const char* key : keys) {
      const GgufValue* value = header.Find(key);
      if (value == nullptr || value->array) continue;
      const auto string = value->String();
      text += text.empty() ? "" : ", ";
      text += string ? Printable(*string, kMostShown) : value->ToJson().dump();
    }
    if (!text.empty()) PrintLine(label, text);
  };
  line("name", {"general.name", "general.size_label", "general.license"});
  line("tokenizer", {"tokenizer.ggml.model", "tokenizer.ggml.pre"});
}

// Appends to `json`, or prints: every tensor with its type and shape.
Status ListTensors(const ModelFiles& files, bool as_json, Json& json) {
  FULMEN_ASSIGN(const Checkpoint checkpoint, files.OpenTensors());
  Json list = Json::array();
  for (const auto& [name, view] : checkpoint.tensors()) {
    const std::string_view type = DTypeName(view.dtype);
    if (as_json) {
      list.push_back({{"name", ReplaceInvalidUtf8(name)},
                      {"type", type},
                      {"shape", view.shape},
                      {"bytes", view.bytes()}});
    } else {
      Print("{:<15} {:>6} {}: {}\n", "", type, ShapeString(view.shape), Printable(name));
    }
  }
  if (as_json) json["tensor_list"] = std::move(list);
  return {};
}

// Appends to `json`, or prints; an error when anything is not finite.
Status Verify(const InspectOptions& options, const ModelFiles& files, Json& json) {
  FULMEN_ASSIGN(const Checkpoint checkpoint, files.OpenTensors());
  ThreadPool pool(options.threads);
  std::vector<NonFiniteTensor> found;
  {
    constexpr int64_t kUnit = 1'000'000;
    Progress progress(options.quiet ? "" : "reading every tensor, megabytes",
                      static_cast<int64_t>(checkpoint.total_bytes()) / kUnit);
    std::atomic<int64_t> read{0};
    found = FindNonFinite(checkpoint, pool, [&](size_t bytes) {
      const int64_t before = read.fetch_add(static_cast<int64_t>(bytes));
      progress.Add((before + static_cast<int64_t>(bytes)) / kUnit - before / kUnit);
    });
  }
  Json list = Json::array();
  for (const NonFiniteTensor& tensor : found) {
    list.push_back(
        {{"tensor", tensor.name}, {"nan", tensor.nans}, {"infinity", tensor.infinities}});
    if (!options.json) {
      Print("{:<16}{}: {} NaN, {} infinity\n", "not finite", Printable(tensor.name), tensor.nans,
            tensor.infinities);
    }
  }
  json["not_finite"] = std::move(list);
  if (found.empty()) {
    if (!options.json) {
      PrintLine("verified",
                fmt::format("every value of {} tensors is finite", checkpoint.tensors().size()));
    }
    return {};
  }
  return Fail(ErrorCode::kNonFinite,
              "{}: {} of {} tensors hold NaN or infinity, the first is \"{}\"", files.path(),
              found.size(), checkpoint.tensors().size(), found.front().name);
}

Status Inspect(InspectOptions& options) {
  FULMEN_ASSIGN(const ModelFiles files, OpenModelFiles(options.model, options.mmproj));
  FULMEN_ASSIGN(const ModelSummary summary, SummarizeModel(files));
  Json json = SummaryJson(summary);
  if (!options.json) PrintSummary(summary);
  if (files.gguf()) DescribeGguf(files, options.json, json);
  if (options.tensors) FULMEN_TRY(ListTensors(files, options.json, json));
  Status status;
  if (options.verify) status = Verify(options, files, json);
  if (options.json && json.contains("not_finite") == options.verify) {
    Print("{}\n", json.dump(2));
  }
  return status;
}

}  // namespace

void AddInspectCommand(Command& program) {
  auto options = std::make_shared<InspectOptions>();
  Command& command =
      program.AddCommand("inspect", "Say what a checkpoint holds, and what it needs here");
  command
      .Add("MODEL", options->model,
           "Folder with config.json and weights or their index, or a .gguf file")
      .Completes(Completion::kFiles)
      .Excludes({"--model"});
  AddModelOption(command, options->model, "The same, as in other commands");
  AddMmprojOption(command, options->mmproj);
  command.Add("--json", options->json, "Print one JSON object");
  command.Add("--tensors", options->tensors, "List every tensor with its type and shape");
  command.Add("--verify", options->verify,
              "Read every tensor; report NaN and infinity by name and fail if there are any");
  AddThreadsOption(command, options->threads).Needs({"--verify"});
  AddQuietOption(command, options->quiet);
  command.Examples({"fulmen inspect", "fulmen inspect models/fulmen-nano --verify"});
  command.Run([options] { return Inspect(*options); });
}

}  // namespace fulmen
