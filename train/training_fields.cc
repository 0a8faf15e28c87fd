#include "train/training_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fulmen {
namespace {

using enum OnResume;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();
constexpr double kMost = 1e15;  // of counts: whole numbers stay exact as doubles

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

Section ModelFields(ModelSection& model) {
  return {
      "model",
      "The model: either a checkpoint to go on from, or a geometry that is initialised at random.",
      {
          {"init", &model.init, kFixed,
           "folder of a model to go on from, whose geometry is taken; \"\": a new model"},
          {"tokenizer", &model.tokenizer, kFixed,
           "folder of the tokenizer, which sets the vocabulary; \"\": that of init"},
          {"hidden_size", &model.hidden_size, kFixed, "width of the residual stream", 1, 1 << 19},
          {"layers", &model.layers, kFixed, "layers", 1, 1 << 14},
          {"softmax_every", &model.softmax_every, kFixed,
           "every Nth layer has softmax attention, the others lightning attention; 0: none has", 0,
           1 << 14},
          {"attn_type_list", &model.attn_type_list, kFixed,
           "instead of softmax_every: 0 (lightning) or 1 (softmax) for every layer", 0, 1},
          {"heads", &model.heads, kFixed, "attention heads", 1, 1 << 14},
          {"kv_heads", &model.kv_heads, kFixed,
           "heads of keys and values in softmax layers, each shared by heads / kv_heads heads", 1,
           1 << 14},
          {"head_dim", &model.head_dim, kFixed, "channels of a head", 1, 1 << 16},
          {"rotary_dim", &model.rotary_dim, kFixed,
           "channels of a softmax head that RoPE rotates; even, usually half of head_dim", 2,
           1 << 16},
          {"rope_theta", &model.rope_theta, kFixed,
           "base of RoPE's frequencies; stages may raise it", 1, 1e30},
          {"experts", &model.experts, kFixed, "experts of a layer", 1, 1 << 14},
          {"experts_per_token", &model.experts_per_token, kFixed, "experts each token is routed to",
           1, 1 << 14},
          {"intermediate_size", &model.intermediate_size, kFixed, "width of one expert", 1,
           1 << 19},
          {"max_position", &model.max_position, kFixed,
           "context limit in tokens, as written into config.json", 1, 2147483647},
          {"tie_embeddings", &model.tie_embeddings, kFixed,
           "the embedding serves as the output head"},
          {"post_norm", &model.post_norm, kFixed,
           "the residual is the normalised value, as in all published models, with the weights of "
           "DeepNorm; false: the plain pre-norm residual"},
          {"deepnorm", &model.deepnorm, kFixed,
           "with post_norm: false leaves out DeepNorm's weights and its small first values, which "
           "deep models need and which slow down shallow ones"},
      }};
}

Section VisionFields(VisionSection& vision) {
  return {
      "vision",
      "A vision half in front of a model of text, initialised at random: a tower of CLIP's layout "
      "and a projector.",
      {
          {"width", &vision.width, kFixed,
           "width of the tower; 0: the model reads images only if model.init does", 0, 1 << 16},
          {"heads", &vision.heads, kFixed, "attention heads of the tower", 1, 1 << 16},
          {"layers", &vision.layers, kFixed, "layers of the tower", 1, 1 << 10},
          {"intermediate_size", &vision.intermediate_size, kFixed, "width of the tower's MLP", 1,
           1 << 16},
          {"tile", &vision.tile, kFixed, "side of the square tiles images are cut into, in pixels",
           1, 1 << 12},
          {"patch", &vision.patch, kFixed, "side of the square patches of a tile, in pixels", 1,
           1 << 12},
          {"grids", &vision.grids, kFixed,
           "[columns, rows] of tiles that an image may be put into; []: the 28 of MiniMax-VL-01", 1,
           64},
      }};
}

Section OptimizerFields(OptimizerOptions& optimizer) {
  return {
      "optimizer",
      "AdamW (Loshchilov and Hutter, 2019).",
      {
          {"learning_rate", &optimizer.learning_rate, kFree, "the highest learning rate", 0, 1e6},
          {"beta1", &optimizer.beta1, kFree, "decay of the first moment", 0, 0.999999},
          {"beta2", &optimizer.beta2, kFree, "decay of the second moment", 0, 0.999999},
          {"epsilon", &optimizer.epsilon, kFree, "added to the root of the second moment", 1e-30,
           1},
          {"weight_decay", &optimizer.weight_decay, kFree,
           "decoupled weight decay, of the tensors no_decay does not name", 0, 1e3},
          {"no_decay", &optimizer.no_decay, kFree,
           "tensors whose names contain one of these are not decayed"},
          {"clip", &optimizer.clip, kFree, "largest global norm of the gradients; 0: any", 0, 1e9},
      }};
}

Section ScheduleFields(ScheduleSection& schedule) {
  return {
      "schedule",
      "The learning rate over all steps of all stages.",
      {
          {"kind",
           &schedule.kind,
           kFree,
           "after the warm-up: constant, linear, cosine, or wsd (stable, then a decay)",
           -kNoLimit,
           kNoLimit,
           {"constant", "linear", "cosine", "wsd"}},
          {"warmup_steps", &schedule.warmup_steps, kFree, "steps of linear rise from 0", 0, kMost},
          {"final_share", &schedule.final_share, kFree,
           "learning rate at the end, as a share of the highest (not for constant)", 0, 1},
          {"decay_share", &schedule.decay_share, kFree,
           "wsd: share of all steps that are its decay", 0, 1},
          {"decay_shape",
           &schedule.decay_shape,
           kFree,
           "wsd: linear, cosine, sqrt (1 - sqrt) or exponential (the report's)",
           -kNoLimit,
           kNoLimit,
           {"linear", "cosine", "sqrt", "exponential"}},
      }};
}

Section BatchFields(BatchSection& batch) {
  return {
      "batch",
      "How much is computed at once, and how much makes a step.",
      {
          {"tokens", &batch.tokens, kFixed,
           "tokens of one batch at most: whole documents until the next would not fit", 2, 1 << 30},
          {"batches", &batch.batches, kFixed,
           "batches of one step, shared among all ranks; gradients are accumulated", 1, 1 << 20},
          {"warmup_batches", &batch.warmup_batches, kFixed,
           "batches of the first steps, growing by multiples of it to `batches`; 0: no "
           "batch-size warm-up",
           0, 1 << 20},
          {"warmup_steps", &batch.warmup_steps, kFixed, "steps until all `batches` make a step", 0,
           1 << 20},
          {"recompute", &batch.recompute, kFree,
           "keep only the inputs of layers and what softmax attention gave, and compute the rest "
           "again in the backward pass: less memory, a quarter more work"},
      }};
}

Section LossFields(LossSection& loss) {
  return {"loss",
          "What is added to the cross-entropy, and how experts are limited.",
          {
              {"auxiliary", &loss.auxiliary, kFree, "weight of the load-balance loss", 0, 1e3},
              {"z", &loss.z, kFree, "weight of the router z-loss", 0, 1e3},
              {"capacity", &loss.capacity, kFree,
               "an expert takes at most this times its even share of choices, the rest are "
               "dropped; 0: none is",
               0, 1e6},
          }};
}

Section CheckpointsFields(CheckpointSection& checkpoint) {
  return {"checkpoint",
          "States a run can be resumed from, in FOLDER/checkpoints.",
          {
              {"every", &checkpoint.every, kFree, "steps between checkpoints; 0: only at the end",
               0, kMost},
              {"keep", &checkpoint.keep, kFree, "newest checkpoints kept", 1, 1 << 20},
          }};
}

Section EvaluationFields(EvaluationSection& evaluation) {
  return {"evaluation",
          "The loss on text that is not trained on.",
          {
              {"data", &evaluation.data, kFree, "dataset folder; \"\": no evaluation"},
              {"every", &evaluation.every, kFree, "steps between evaluations", 1, kMost},
              {"batches", &evaluation.batches, kFree, "batches of one evaluation, always the same",
               1, 1 << 20},
          }};
}

Section OutputFields(OutputSection& output) {
  return {
      "output",
      "What a run leaves.",
      {
          {"folder", &output.folder, kFree,
           "folder of the run: checkpoints, metrics.jsonl, report.html and, at the end, model"},
          {"type",
           &output.type,
           kFree,
           "type of the weights in FOLDER/model",
           -kNoLimit,
           kNoLimit,
           {"float32", "bfloat16"}},
          {"report_every", &output.report_every, kFree,
           "steps between two versions of report.html, and between records of the experts' load", 1,
           kMost},
      }};
}

Section RunFields(RunSection& run) {
  return {
      "run",
      "How it is computed.",
      {
          {"seed", &run.seed, kFixed, "of the initial weights and of the order of documents", 0,
           kMost},
          {"threads", &run.threads, kFree, "threads of one rank; 0: all its processors", 0, 1024},
          {"kernels",
           &run.kernels,
           kFree,
           "ref or cpu; \"\": $FULMEN_KERNELS, else cpu",
           -kNoLimit,
           kNoLimit,
           {"", "ref", "cpu"}},
          {"precision",
           &run.precision,
           kFree,
           "what dense products round their operands to; sums and master weights stay float32",
           -kNoLimit,
           kNoLimit,
           {"float32", "bfloat16"}},
      }};
}

}  // namespace

std::vector<Section> TrainingSections(TrainingConfig& config) {
  return {ModelFields(config.model),
          VisionFields(config.vision),
          OptimizerFields(config.optimizer),
          ScheduleFields(config.schedule),
          BatchFields(config.batch),
          LossFields(config.loss),
          CheckpointsFields(config.checkpoint),
          EvaluationFields(config.evaluation),
          OutputFields(config.output),
          RunFields(config.run)};
}

Section StageSection(StageConfig& stage) {
  return {"stages",
          "Stages are run one after another: a curriculum, longer contexts, fine-tuning on chats.",
          {
              {"name", &stage.name, kFixed, "shown in progress and report, and used by flags"},
              {"steps", &stage.steps, kFixed, "length in steps", 0, kMost},
              {"tokens", &stage.tokens, kFixed,
               "length in tokens instead, counted at full batches and rounded up to whole steps", 0,
               kMost},
              {"max_length", &stage.max_length, kFixed,
               "longer documents are cut into pieces of this many tokens, those with images left "
               "out",
               2, 1 << 30},
              {"rope_theta", &stage.rope_theta, kFixed,
               "base of RoPE's frequencies from this stage on; 0: as before", 0, 1e30},
              {"learning_rate_factor", &stage.learning_rate_factor, kFixed,
               "multiplies the learning rate of the schedule", 0, 1e6},
              {"batch_tokens", &stage.batch_tokens, kFixed,
               "in place of batch.tokens; 0: batch.tokens", 0, 1 << 30},
              {"sources", &stage.sources, kFixed,
               "dataset folders written by `fulmen train data`, and their shares of the tokens"},
              {"trains",
               &stage.trains,
               kFixed,
               "what is trained: all, vision (tower and projector) or projector; the rest stays as "
               "it is",
               -kNoLimit,
               kNoLimit,
               {"all", "vision", "projector"}},
          }};
}

std::string FormatField(const FieldValue& value) {
  struct Formatter {
    std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
    std::string operator()(const int64_t* v) const { return fmt::format("{}", *v); }
    std::string operator()(const double* v) const { return fmt::format("{}", *v); }
    std::string operator()(const std::string* v) const { return Quoted(*v); }
    std::string operator()(const std::vector<int64_t>* v) const { return fmt::format("{}", *v); }
    std::string operator()(const std::vector<std::vector<int64_t>>* v) const {
      return fmt::format("{}", *v);
    }
    std::string operator()(const std::vector<std::string>* v) const {
      std::vector<std::string> quoted;
      for (const std::string& text : *v) quoted.push_back(Quoted(text));
      return fmt::format("[{}]", fmt::join(quoted, ", "));
    }
    std::string operator()(const std::vector<SourceConfig>* v) const {
      std::vector<std::string> tables;
      for (const SourceConfig& source : *v) {
        tables.push_back(
            fmt::format("{{path = {}, weight = {}}}", Quoted(source.path), source.weight));
      }
      return fmt::format("[{}]", fmt::join(tables, ", "));
    }
  };
  return std::visit(Formatter(), value);
}

std::string_view FieldKind(const FieldValue& value) {
  struct Namer {
    std::string_view operator()(const bool*) const { return "true or false"; }
    std::string_view operator()(const int64_t*) const { return "a whole number"; }
    std::string_view operator()(const double*) const { return "a number"; }
    std::string_view operator()(const std::string*) const { return "a text"; }
    std::string_view operator()(const std::vector<int64_t>*) const {
      return "a list of whole numbers";
    }
    std::string_view operator()(const std::vector<std::vector<int64_t>>*) const {
      return "a list of lists of whole numbers";
    }
    std::string_view operator()(const std::vector<std::string>*) const { return "a list of texts"; }
    std::string_view operator()(const std::vector<SourceConfig>*) const {
      return "a list of tables {path = \"FOLDER\", weight = NUMBER}";
    }
  };
  return std::visit(Namer(), value);
}

}  // namespace fulmen
