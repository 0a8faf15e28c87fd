#include "tests/e2e/option_effects.h"

#include <regex>

namespace fulmen::testing {
namespace {

Effects RunEffects() {
  const std::string model = "-m ../in/model -n 8 --ignore-eos --temperature 0 ";
  const std::string nano = "-n 60 --temperature 0 ";
  // Among so many unlikely tokens a small difference shows.
  const std::string chance = "-n 200 --temperature 3 --seed 7 --ignore-eos ";
  const std::string look = "-m ../in/vl.gguf Hi -n 2 --image ../in/dot.bmp ";
  const std::string see = "-m ../in/vl.gguf --mmproj ../in/vision.gguf -n 8 --temperature 0 ";
  Effects effects = {
      {"--model", "Hi -n 8 --temperature 0", "Hi -n 8 --temperature 0 -m ../in/model"},
      {"--prompt", model + "-p Hi", model + "-p Hello"},
      {"--file", model + "-f ../in/short.txt", model + "-f ../in/book.txt"},
      {"--image", see + "Hi", see + "Hi --image ../in/dot.bmp"},
      {"--chat", model, model + "--chat", "Hi\nHello\n"},
      {"--system", model + "Hi --chat-format m1", model + "Hi --chat-format m1 --system Sort."},
      {"--raw", nano + "Hi", nano + "Hi --raw"},
      {"--chat-format", model + "Hi", model + "Hi --chat-format m1"},
      {"--max-tokens", "Hi -m ../in/model --temperature 0 -n 4",
       "Hi -m ../in/model --temperature 0 -n 8"},
      {"--stop", nano + "Hi", nano + "Hi --stop do"},
      {"--ignore-eos", nano + "Hi", nano + "Hi --ignore-eos"},
      {"--schema", nano + "Hi", nano + "Hi --schema ../in/schema.json"},
      {"--compact", nano + "Hi --schema ../in/list.json",
       nano + "Hi --schema ../in/list.json --compact"},
      {"--regex", nano + "Hi", nano + "Hi --regex [0-9]{3}"},
      {"--grammar", nano + "Hi", nano + "Hi --grammar ../in/numbers.gbnf"},
      {"--json", model + "Hi", model + "Hi --json"},
      {"--pretty", model + "Hi --json", model + "Hi --json --pretty"},
      {"--verbose", model + "Hi", model + "Hi --verbose"},
      {"--kv-type", chance + "Hi", chance + "Hi --kv-type bf16"},
      {"--no-repack", "-m ../in/q4.gguf Hi -n 1 --json",
       "-m ../in/q4.gguf Hi -n 1 --json --no-repack", "", "\"repacked_bytes\":0,"},
      {"--mmproj", look, look + "--mmproj ../in/vision.gguf"},
      {"--session", model + "Hi", model + "Hi --session a --sessions used/new.db"},
      {"--sessions", model + "Hi --session a --sessions used/one.db",
       model + "Hi --session a --sessions used/two.db"},
  };
  Append(effects, SamplingEffects("Hi -m ../in/model --ignore-eos"));
  return effects;
}

Effects TokenizeEffects() {
  const std::string marker = "<end_of_sentence>";
  return {
      {"--model", "Hi", "Hi -m ../in/model"},
      {"--file", "-f ../in/short.txt", "-f ../in/book.txt"},
      {"--chat", "-f ../in/chat.json", "--chat ../in/chat.json"},
      {"--chat-format", "--chat ../in/chat.json", "--chat ../in/chat.json --chat-format m1"},
      {"--json", "Hi", "Hi --json"},
      {"--plain", marker, marker + " --plain"},
      {"--jsonl", "", "--jsonl", "\"Hi\"\n"},
  };
}

Effects DetokenizeEffects() {
  return {
      {"--model", "60 61", "60 61 -m ../in/model"},
      {"--file", "-f ../in/ids.json", "-f ../in/chat-ids.json"},
      {"--json", "60 61", "60 61 --json"},
      {"--jsonl", "", "--jsonl", "[60, 61]\n"},
  };
}

Effects SynthEffects() {
  const std::string base = "out --type f32 ";
  const std::string sizes =
      "--layers 2 --hidden 16 --heads 2 --kv-heads 1 --head-dim 8 --ffn 16 --experts 2 --top-k 1 "
      "--vocab 64 ";
  const auto changed = [&](const std::string& option, const std::string& from,
                           const std::string& to) -> Effect {
    const std::regex old(option + " " + from + " ");
    return {option, base + sizes, base + std::regex_replace(sizes, old, option + " " + to + " ")};
  };
  const std::string small = base + sizes;
  return {
      changed("--layers", "2", "3"),
      changed("--hidden", "16", "32"),
      changed("--heads", "2", "4"),
      changed("--kv-heads", "1", "2"),
      changed("--head-dim", "8", "16"),
      changed("--ffn", "16", "32"),
      changed("--experts", "2", "3"),
      changed("--top-k", "1", "2"),
      changed("--vocab", "64", "65"),
      {"--type", "out --type f32 " + sizes, "out --type bf16 " + sizes},
      {"--preset", small, small + "--preset text-01-slice"},
      {"--softmax-every", small, small + "--softmax-every 1"},
      {"--rotary-dim", small, small + "--rotary-dim 2"},
      {"--rope-base", small, small + "--rope-base 5000"},
      {"--max-position", small, small + "--max-position 99"},
      {"--tied", small, small + "--tied"},
      {"--seed", small, small + "--seed 1"},
      {"--shard-size", small, small + "--shard-size 10kB"},
      {"--force", "used --type f32 " + sizes, "used --force --type f32 " + sizes},
  };
}

Effects QuantizeEffects() {
  const std::string vision = "../in/vl.gguf out Q8_0 --mmproj ../in/vision.gguf";
  return {
      {"--mmproj", "../in/vl.gguf out Q8_0", vision},
      {"--mmproj-type", vision, vision + " --mmproj-type Q8_0"},
      {"--allow-requantize", "../in/low.gguf out Q5_0",
       "../in/low.gguf out Q5_0 --allow-requantize"},
      {"--json", "../in/model out Q4_0", "../in/model out Q4_0 --json"},
      {"--calibrate", "../in/model out Q4_0", "../in/model out Q4_0 --calibrate ../in/book.txt"},
      {"--imatrix", "../in/model out Q4_0", "../in/model out Q4_0 --imatrix ../in/imatrix.gguf"},
  };
}

Effects ConvertEffects() {
  const std::string base = "../in/model out --type Q4_0";
  const std::string vision = "../in/vl.gguf out.gguf --mmproj ../in/vision.gguf";
  return {
      {"--mmproj", "../in/vl.gguf out.gguf", vision},
      {"--mmproj-type", vision, vision + " --mmproj-type Q8_0"},
      {"--type", "../in/model out", base},
      {"--calibrate", base, base + " --calibrate ../in/book.txt"},
      {"--imatrix", base, base + " --imatrix ../in/imatrix.gguf"},
  };
}

Effects ImatrixEffects() {
  const std::string base = "../in/model ../in/book.txt out";
  return {
      {"--context", base, base + " --context 16"},
      {"--json", base, base + " --json"},
  };
}

// Measuring takes seconds, so one run shows most of them; none has its default.
Effects BenchEffects() {
  const std::string peak = "--peak --threads 1";
  const std::string all = "-m ../in/model --kernels ref --threads 3 -p 5 -n 6 -r 1 -d 7 -b 3";
  const std::string load = "--load -m ../in/model -p 100 -n 2 --json";
  const std::string twice = " --clients 1 --requests 2";
  return {
      {"--model", peak, all, "", "../in/model with"},
      {"--kernels", peak, all, "", "with ref kernels"},
      {"--threads", peak, all, "", "3 threads"},
      {"--prompt-tokens", peak, all, "", "5 prompt and"},
      {"--new-tokens", peak, all, "", "6 new tokens"},
      {"--repetitions", peak, all, "", "median of 1"},
      {"--depths", peak, all, "", "\n      3        7 "},
      {"--batch", peak, all, "", " 6         3 "},
      {"--profile", peak, all + " --profile", "", "between operations"},
      {"--peak", all, peak, "", "Peaks of this machine"},
      {"--json", peak, peak + " --json"},
      {"--kv-type", peak, "-p 1 -n 1 -r 1 --json --kv-type F16", "", "\"kv_type\":\"F16\""},
      {"--no-repack", "-m ../in/q4.gguf -p 1 -n 1 -r 1 --json",
       "-m ../in/q4.gguf -p 1 -n 1 -r 1 --json --no-repack", "", "\"repacked_bytes\":0,"},
      {"--load", "-m ../in/model -p 4 -n 2 -r 1 --json", load, "", "\"gap_seconds\""},
      {"--clients", load + " --clients 1", load + " --clients 2", "", "\"requests\":8,"},
      {"--rate", load + " --requests 2", load + " --requests 2 --rate 90", "", "\"rate\":90.0,"},
      {"--requests", load, load + " --requests 3", "", "\"requests\":3,"},
      {"--shared", load + twice, load + twice + " --shared 90", "", "\"cached_tokens\":90,"},
      {"--turns", load + twice, load + twice + " --turns 2", "", "\"prompt_tokens\":302,"},
      {"--think", load + twice, load + twice + " --think 0.01", "", "\"think\":0.01,"},
      {"--schema", load, load + " --schema ../in/schema.json", "", "\"schema\":"},
      {"--seed", load + twice, load + twice + " --seed 7", "", "\"seed\":7,"},
  };
}

Effects TrainBenchEffects() {
  const std::string base = "-m ../in/model --rows 2 --length 32 -r 1 ";
  return {
      {"--model", "--rows 1 --length 16 -r 1", "--rows 1 --length 16 -r 1 -m ../in/model"},
      {"--kernels", base, base + "--kernels ref"},
      {"--documents", base, base + "--documents packed"},
      {"--rows", base, "-m ../in/model --rows 3 --length 32 -r 1"},
      {"--length", base, "-m ../in/model --rows 2 --length 33 -r 1"},
      {"--repetitions", base, "-m ../in/model --rows 2 --length 32 -r 2"},
      {"--precision", base, base + "--precision bfloat16"},
      {"--profile", base, base + "--profile", "", "between operations"},
      {"--json", base, base + "--json"},
  };
}

Effects GradientsEffects() {
  const std::string rest = "--batches ../in/batches.json --steps 2 --out out ";
  const std::string base = "-m ../in/model " + rest;
  return {
      {"--model", rest, base},
      {"--kernels", base, base + "--kernels ref"},
      {"--batches", base, "-m ../in/model --steps 2 --out out --batches ../in/batches2.json"},
      {"--out", base, "-m ../in/model --steps 2 --batches ../in/batches.json --out other"},
      {"--steps", base, "-m ../in/model --steps 1 --out out --batches ../in/batches.json"},
      {"--lr", base, base + "--lr 0.01"},
      {"--beta1", base, base + "--beta1 0.5"},
      {"--beta2", base, base + "--beta2 0.5"},
      {"--epsilon", base, base + "--epsilon 0.01"},
      {"--weight-decay", base, base + "--weight-decay 0"},
      {"--clip", base, base + "--clip 0.001"},
      {"--aux", base, base + "--aux 1"},
      {"--z-loss", base, base + "--z-loss 1"},
      {"--capacity", base, base + "--capacity 0.5"},
      {"--precision", base, base + "--precision bfloat16"},
      {"--json", base, base + "--json"},
  };
}

Effects DataEffects() {
  const std::string out = "--out out ";
  const std::string model = out + "-m ../in/model ";
  const std::string trained = "../in/lines.jsonl " + out + "--train-tokenizer 280 ";
  return {
      {"--out", "../in/book.txt -m ../in/model --out out",
       "../in/book.txt -m ../in/model --out other"},
      {"--model", "../in/book.txt " + out, "../in/book.txt " + model},
      {"--format", "../in/lines.jsonl " + model, "../in/lines.jsonl --format text " + model},
      {"--text-key", "../in/lines.jsonl " + model, "../in/lines.jsonl --text-key other " + model},
      {"--documents", "../in/book.txt " + model, "../in/book.txt --documents files " + model},
      {"--document-separator", "../in/book.txt " + model,
       "../in/book.txt --document-separator *** " + model},
      {"--chat-format", "../in/chats.jsonl --chat-format m1 " + model,
       "../in/chats.jsonl --chat-format text-01 " + model},
      {"--train-tokenizer", trained, "../in/lines.jsonl " + out + "--train-tokenizer 270"},
      {"--special", trained, trained + "--special <name>"},
      {"--shard-tokens", "../in/book.txt " + model, "../in/book.txt --shard-tokens 20 " + model},
      {"--held-out", "../in/lines.jsonl " + model, "../in/lines.jsonl --held-out 0.5 " + model},
      {"--no-end", "../in/book.txt " + model, "../in/book.txt --no-end " + model},
      {"--json", "../in/book.txt " + model, "../in/book.txt --json " + model},
  };
}

Effects InspectEffects() {
  return {
      {"--model", "", "-m ../in/model"},
      {"--mmproj", "../in/vl.gguf", "../in/vl.gguf --mmproj ../in/vision.gguf"},
      {"--json", "", "--json"},
      {"--verify", "", "--verify"},
      {"--tensors", "", "--tensors"},
  };
}

Effects SweepEffects() {
  const std::string base = "../in/run.toml --evaluation.data ../in/data --schedule.kind constant ";
  const std::string two = base + "--kinds softmax --sizes 32x2,64x2 ";
  return {
      {"--out", two + "--out a", two + "--out b"},
      {"--sizes", two + "--out a", base + "--kinds softmax --sizes 32x2,96x2 --out a"},
      {"--kinds", two + "--out a", base + "--kinds lightning --sizes 32x2,64x2 --out a"},
      {"--json", two + "--out a", two + "--out a --json"},
      {"--resume", two + "--out ../in/swept-1", two + "--out ../in/swept-1 --resume"},
      {"--resume-or-start", two + "--out ../in/swept-2",
       two + "--out ../in/swept-2 --resume-or-start"},
  };
}

// Fields of the config; each changes a run of four steps.
Effects TrainEffects() {
  const std::string base = "../in/run.toml --out out ";
  const std::string wsd = base + "--schedule.kind wsd --schedule.decay_share 0.5 ";
  const std::string listed = "../in/listed.toml --out out --model.attn_type_list ";
  const std::string three = base + "--batch.batches 3 ";
  const std::string growing = "--batch.warmup_batches 1 ";
  const std::string evaluated = base + "--evaluation.data ../in/data --evaluation.every 2 ";
  const auto field = [&](const std::string& name, const std::string& value) -> Effect {
    return {"--" + name, base, base + "--" + name + " " + value};
  };
  return {
      {"--out", base, "../in/run.toml --out other"},
      {"--resume", "../in/run.toml --out ../in/trained-1",
       "../in/run.toml --out ../in/trained-1 --resume"},
      {"--resume-or-start", "../in/run.toml --out ../in/trained-2",
       "../in/run.toml --out ../in/trained-2 --resume-or-start"},
      {"--dry-run", base, base + "--dry-run"},
      {"--print-config", base, base + "--print-config"},
      {"--model.init", "../in/init.toml --out out",
       "../in/init.toml --out out --model.init ../in/trained-3/model"},
      // The data were cut into another's tokens.
      {"--model.tokenizer", base + "--model.tokenizer ../in/other", base},
      field("model.hidden_size", "16"),
      field("model.layers", "3"),
      field("model.softmax_every", "1"),
      {"--model.attn_type_list", listed + "[0,1]", listed + "[1,1]"},
      field("model.heads", "4"),
      field("model.kv_heads", "2"),
      field("model.head_dim", "8"),
      field("model.rotary_dim", "4"),
      field("model.rope_theta", "500"),
      field("model.experts", "3"),
      field("model.experts_per_token", "1"),
      field("model.intermediate_size", "16"),
      field("model.max_position", "4096"),
      field("model.tie_embeddings", "true"),
      field("model.post_norm", "false"),
      field("model.deepnorm", "false"),
      field("optimizer.learning_rate", "0.01"),
      field("optimizer.beta1", "0.5"),
      field("optimizer.beta2", "0.5"),
      field("optimizer.epsilon", "0.01"),
      field("optimizer.weight_decay", "0"),
      field("optimizer.no_decay", "[]"),
      field("optimizer.clip", "0.001"),
      field("schedule.kind", "linear"),
      field("schedule.warmup_steps", "2"),
      field("schedule.final_share", "0.9"),
      {"--schedule.decay_share", wsd, base + "--schedule.kind wsd --schedule.decay_share 0.25"},
      {"--schedule.decay_shape", wsd, wsd + "--schedule.decay_shape cosine"},
      field("batch.tokens", "64"),
      field("batch.batches", "3"),
      {"--batch.warmup_batches", three, three + growing + "--batch.warmup_steps 3"},
      {"--batch.warmup_steps", three + growing + "--batch.warmup_steps 2",
       three + growing + "--batch.warmup_steps 4"},
      field("loss.auxiliary", "1"),
      field("loss.z", "1"),
      field("loss.capacity", "0.5"),
      field("checkpoint.every", "0"),
      field("checkpoint.keep", "1"),
      {"--evaluation.data", base, evaluated},
      {"--evaluation.every", evaluated, base + "--evaluation.data ../in/data --evaluation.every 1"},
      {"--evaluation.batches", evaluated, evaluated + "--evaluation.batches 1"},
      {"--output.folder", "../in/run.toml --output.folder a", "../in/run.toml --output.folder b"},
      field("output.type", "bfloat16"),
      field("output.report_every", "1"),
      field("run.seed", "1"),
      field("run.kernels", "ref"),
      field("run.precision", "bfloat16"),
  };
}

// --sessions and --namespace of a command below `session`; `words` name what only the store has.
Effects StoreEffects(const std::string& words) {
  const std::string store = " --sessions used/sessions.db";
  return {{"--namespace", words + store, words + store + " --namespace org"},
          {"--sessions", words + " --sessions used/none.db", words + store}};
}

Effects SessionListEffects() {
  const std::string base = "--sessions used/sessions.db";
  Effects effects = StoreEffects("");
  Append(effects, {{"--json", base, base + " --json"}, {"--all", base, base + " --all"}});
  return effects;
}

Effects SessionShowEffects() {
  const std::string base = "work --sessions used/sessions.db";
  Effects effects = StoreEffects("work");
  Append(effects, {{"--json", base, base + " --json"}, {"--ids", base, base + " --ids"}});
  return effects;
}

Effects SessionExpireEffects() {
  const std::string base = "plan --sessions used/sessions.db";
  Effects effects = StoreEffects("work --after 30d");
  Append(effects, {{"--after", base + " --never", base + " --after 30d"},
                   {"--never", base + " --after 30d", base + " --never"}});
  return effects;
}

}  // namespace

std::map<std::string, Effects> AllEffects() {
  std::map<std::string, Effects> effects = {
      {"", {{"--version", "--help", "--version"}}},
      {"run", RunEffects()},
      {"inspect", InspectEffects()},
      {"train", TrainEffects()},
      {"train bench", TrainBenchEffects()},
      {"train data", DataEffects()},
      {"train gradients", GradientsEffects()},
      {"train sweep", SweepEffects()},
      {"tokenize", TokenizeEffects()},
      {"detokenize", DetokenizeEffects()},
      {"synth", SynthEffects()},
      {"convert", ConvertEffects()},
      {"quantize", QuantizeEffects()},
      {"imatrix", ImatrixEffects()},
      {"session", {}},
      {"session list", SessionListEffects()},
      {"session show", SessionShowEffects()},
      {"session fork", StoreEffects("work copy")},
      {"session rename", StoreEffects("work later")},
      {"session export", StoreEffects("work out.json")},
      {"session import", StoreEffects("../in/work.json new")},
      {"session rm", StoreEffects("work")},
      {"session expire", SessionExpireEffects()},
      {"pull", PullEffects()},
      {"bench", BenchEffects()},
      {"completion", {}},
      {"manual", {}},
  };
  effects.merge(EvalEffects());
  Append(effects["train"], VisionEffects());
  Append(effects["train data"], ImageDataEffects());
  return effects;
}

std::vector<Measured> ThreadEffects() {
  return {
      {"run", "--threads", "-m ../in/model Hi -n 1"},
      {"inspect", "--threads", "-m ../in/model --verify"},
      {"eval logits", "--threads", "-m ../in/model --tokens ../in/ids.json --out out"},
      {"eval generate", "--threads", "-m ../in/model --tokens ../in/ids.json"},
      {"eval perplexity", "--threads", "-m ../in/model -f ../in/book.txt"},

      {"train", "--run.threads", "../in/run.toml --out out"},
      {"train bench", "--threads", "-m ../in/model --rows 1 --length 2 -r 1"},
      {"train data", "--threads", "../in/book.txt --out out -m ../in/model"},
      {"train gradients", "--threads",
       "-m ../in/model --batches ../in/batches.json --steps 1 --out out"},
      {"synth", "--threads", "out --type f32 --layers 1 --hidden 16 --vocab 64 --ffn 16"},
      {"convert", "--threads", "../in/model out"},
      {"quantize", "--threads", "../in/model out Q4_0"},
      {"imatrix", "--threads", "../in/model ../in/book.txt out"},
      {"pull", "--parallel", "acme/tiny"},
  };
}

std::vector<Measured> QuietEffects() {
  std::vector<Measured> effects = ThreadEffects();
  std::erase_if(effects, [](const Measured& each) { return each.command == "train"; });
  effects.push_back({"bench", "--threads", "-m ../in/model -p 1 -n 1 -r 1"});
  effects.push_back({"eval masks", "", "--cases ../in/cases.jsonl"});
  return effects;
}

std::vector<Measured> TalkEffects() {
  return {
      {"train", "--quiet", "../in/run.toml --out out"},
      {"train sweep", "--quiet",
       "../in/run.toml --schedule.kind constant --kinds softmax --sizes 32x2 "
       "--evaluation.data ../in/data --out out"},
  };
}

std::vector<Measured> KernelEffects() {
  return {
      {"run", "--kernels", "-m ../in/model Hi -n 1"},
      {"eval generate", "--kernels", "-m ../in/model --tokens ../in/ids.json -n 1"},
  };
}

std::vector<MemoryEffect> MemoryEffects() {
  const std::string train =
      "../in/run.toml --out out --batch.tokens 2048 --stages.main.steps 1 "
      "--schedule.warmup_steps 0 --model.layers 8 --model.intermediate_size 256 ";
  const std::string bench = "-m ../in/model --rows 1 --length 2048 -r 1 ";
  const std::string gradients =
      "-m ../in/model --batches ../in/long-batches.json --steps 1 --out out ";
  const std::string logits = "--tokens ../in/long-ids.json --last 1 --out out --chunk ";
  return {
      {"train", "--batch.recompute", train + "--batch.recompute false",
       train + "--batch.recompute true"},
      {"train bench", "--recompute", bench, bench + "--recompute"},
      {"train gradients", "--recompute", gradients, gradients + "--recompute"},
      {"eval logits", "--chunk", logits + "8000", logits + "16"},
  };
}

}  // namespace fulmen::testing
