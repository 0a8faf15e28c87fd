// fulmen bench: prompt and decode rates against the machine's own peaks, measured in the same run.
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/console.h"
#include "base/json.h"
#include "base/machine.h"
#include "cli/bench_peaks.h"
#include "cli/commands.h"
#include "cli/load_bench.h"
#include "cli/model_bench.h"
#include "cli/session.h"

namespace fulmen {
namespace {

using Numbers = std::vector<int64_t>;

struct BenchOptions {
  SessionOptions session;
  Numbers threads = {0};
  Numbers prompts = {512};
  Numbers generated = {64};
  Numbers depths = {0};
  Numbers batches = {1};
  BenchSettings settings;
  LoadSettings load;
  bool with_load = false;
  bool peak_only = false;
  bool json = false;
};

// One of all combinations.
struct Row {
  int64_t threads = 0;
  int64_t depth = 0;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t sequences = 0;
  std::optional<BenchRate> prompt;
  std::optional<BenchRate> decode;
};

// "0,8192" into `numbers`, each in `range`.
Status ParseNumbers(const std::string& text, Range<int64_t> range, Numbers& numbers) {
  numbers.clear();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    FULMEN_ASSIGN(numbers.emplace_back(),
                  ParseNumber<int64_t>(std::string_view(text).substr(begin, end - begin), range));
    begin = end + 1;
  }
  return {};
}

Status CheckOptions(const BenchOptions& options) {
  if (options.peak_only && options.threads.size() > 1) {
    return Fail(ErrorCode::kInvalidArgument, "--peak takes one number of threads, found {}",
                options.threads.size());
  }
  if (options.with_load) {
    if (options.threads.size() > 1) {
      return Fail(ErrorCode::kInvalidArgument, "--load takes one number of threads, found {}",
                  options.threads.size());
    }
    if (std::ranges::min(options.prompts) == 0 || std::ranges::min(options.generated) == 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "with --load, --prompt-tokens and --new-tokens must be at least 1");
    }
  }
  if (std::ranges::max(options.prompts) == 0 && std::ranges::max(options.generated) == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "--prompt-tokens 0 and --new-tokens 0 leave nothing to measure");
  }
  return {};
}

Status CheckContext(const BenchOptions& options, const Config& config) {
  const int64_t prompt = std::ranges::max(options.prompts);
  const int64_t generated = std::ranges::max(options.generated);
  const int64_t depth = std::ranges::max(options.depths);
  if (depth + std::max(prompt, generated) <= config.max_position) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "depth {} with {} prompt and {} new tokens does not fit the context limit of {}",
              depth, prompt, generated, config.max_position);
}

// All rows of one number of threads; what several of them have in common is measured once.
Status MeasureRows(const BenchOptions& options, ModelBench& bench, std::vector<Row>& rows) {
  for (const int64_t depth : options.depths) {
    FULMEN_TRY(bench.Start(depth));
    std::map<std::pair<int64_t, int64_t>, BenchRate> decoded;
    for (const int64_t prompt : options.prompts) {
      Row row;
      row.threads = bench.threads();
      row.depth = depth;
      row.prompt_tokens = prompt;
      if (prompt > 0) {
        FULMEN_ASSIGN(row.prompt, bench.MeasurePrompt(prompt));
      }
      for (const int64_t generated : options.generated) {
        row.new_tokens = generated;
        for (const int64_t sequences : options.batches) {
          row.sequences = sequences;
          row.decode.reset();
          if (generated == 0) break;
          const auto [known, is_new] = decoded.try_emplace({generated, sequences});
          if (is_new) {
            FULMEN_ASSIGN(known->second, bench.MeasureDecode(generated, sequences));
          }
          row.decode = known->second;
          rows.push_back(row);
        }
        if (generated == 0 && prompt > 0) rows.push_back(row);
      }
    }
  }
  return {};
}

std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

void PrintRow(const Row& row) {
  std::string prompt = fmt::format("{:>15} {:>8} {:>8}", "-", "-", "-");
  if (row.prompt) {
    prompt = fmt::format("{:>15.1f} {:>8.1f} {:>8}", row.prompt->tokens_per_second,
                         row.prompt->ops_per_second / 1e9, Percent(row.prompt->share_of_peak));
  }
  std::string decode = fmt::format("{:>15} {:>8} {:>8} {:>11}", "-", "-", "-", "-");
  if (row.decode) {
    decode =
        fmt::format("{:>15.2f} {:>8.1f} {:>8} {:>11}", row.decode->tokens_per_second,
                    row.decode->bytes_per_second / 1e9, Percent(row.decode->share_of_bandwidth),
                    Percent(row.decode->share_of_possible));
  }
  Print("{:>7} {:>8} {:>7} {} {:>6} {:>9} {}\n", row.threads, row.depth, row.prompt_tokens, prompt,
        row.new_tokens, row.sequences, decode);
}

void PrintRows(const std::vector<Row>& rows) {
  Print("\n{:>7} {:>8} {:>7} {:>15} {:>8} {:>8} {:>6} {:>9} {:>15} {:>8} {:>8} {:>11}\n", "threads",
        "depth", "prompt", "tokens/s", "GOP/s", "of peak", "new", "sequences", "decode tokens/s",
        "GB/s", "of peak", "of possible");
  for (const Row& row : rows) PrintRow(row);
}

// The profile of every measurement, each once.
void PrintProfiles(const std::vector<Row>& rows, const std::string& arithmetic) {
  std::set<std::string> shown;
  const auto show = [&](const std::optional<BenchRate>& rate, const std::string& title,
                        const char* unit) {
    if (rate && shown.insert(title).second) PrintProfile(rate->profile, title, unit, arithmetic);
  };
  for (const Row& row : rows) {
    const std::string where = fmt::format("at depth {} with {} threads", row.depth, row.threads);
    show(row.prompt, fmt::format("Prompt of {} {}", row.prompt_tokens, where), "prompt");
    show(row.decode,
         fmt::format("{} steps of {} sequences {}", row.new_tokens, row.sequences, where), "step");
  }
}

Json ToJson(const Row& row, bool profile) {
  Json json = {{"threads", row.threads},
               {"depth", row.depth},
               {"prompt_tokens", row.prompt_tokens},
               {"new_tokens", row.new_tokens},
               {"sequences", row.sequences}};
  if (row.prompt) {
    json["prompt_tokens_per_second"] = row.prompt->tokens_per_second;
    json["prompt_ops_per_second"] = row.prompt->ops_per_second;
    json["prompt_share_of_peak"] = row.prompt->share_of_peak;
    if (profile) json["prompt_profile"] = ToJson(row.prompt->profile);
  }
  json["decode"] = Json::array();
  if (row.decode) {
    json["decode"].push_back({{"sequences", row.sequences},
                              {"tokens_per_second", row.decode->tokens_per_second},
                              {"ops_per_second", row.decode->ops_per_second},
                              {"share_of_peak", row.decode->share_of_peak},
                              {"bytes_per_second", row.decode->bytes_per_second},
                              {"share_of_bandwidth", row.decode->share_of_bandwidth},
                              {"share_of_possible", row.decode->share_of_possible}});
    if (profile) json["decode"].back()["profile"] = ToJson(row.decode->profile);
  }
  return json;
}

// The value alone where there is one.
template <class T>
Json OneOrAll(const std::vector<T>& values) {
  return values.size() == 1 ? Json(values.front()) : Json(values);
}

void PrintHeading(const BenchOptions& options, const Session& session) {
  Print("{} with {} kernels, {} threads, {} prompt and {} new tokens, median of {}{}\n",
        session.files.path(), session.kernels.name, fmt::join(options.threads, ", "),
        fmt::join(options.prompts, ", "), fmt::join(options.generated, ", "),
        options.settings.repetitions, session.repacked_bytes > 0 ? ", weights repacked" : "");
}

Status BenchModel(BenchOptions options) {
  for (int64_t& threads : options.threads) {
    if (threads == 0) threads = AvailableProcessors();
  }
  options.session.threads = static_cast<int>(std::ranges::max(options.threads));
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  RepackIfWanted(*session, options.session, options.settings.quiet);
  FULMEN_TRY(CheckContext(options, session->model.config));
  std::vector<Row> rows;
  std::vector<Json> peaks;
  std::string arithmetic;
  std::string peak_lines;
  for (const int64_t threads : options.threads) {
    ModelBench bench(*session, static_cast<int>(threads), options.settings);
    FULMEN_TRY(MeasureRows(options, bench, rows));
    peaks.push_back(bench.PeaksToJson());
    arithmetic = bench.arithmetic();
    peak_lines += fmt::format(
        "peaks with {} threads: {} {:.1f} to {:.1f} GOP/s, read bandwidth {:.1f} to {:.1f} GB/s\n",
        threads, arithmetic, bench.computing().low / 1e9, bench.computing().high / 1e9,
        bench.bandwidth().low / 1e9, bench.bandwidth().high / 1e9);
  }
  if (options.json) {
    Json json = {{"model", session->files.path()},
                 {"kernels", session->kernels.name},
                 {"threads", OneOrAll(options.threads)},
                 {"prompt_tokens", OneOrAll(options.prompts)},
                 {"new_tokens", OneOrAll(options.generated)},
                 {"repacked_bytes", session->repacked_bytes},
                 {"kv_type", DTypeName(session->kv_type)},
                 {"peaks", OneOrAll(peaks)},
                 {"rows", Json::array()}};
    for (const Row& row : rows) json["rows"].push_back(ToJson(row, options.settings.profile));
    Print("{}\n", json.dump());
    return {};
  }
  PrintHeading(options, *session);
  PrintText(peak_lines);
  PrintRows(rows);
  if (options.settings.profile) PrintProfiles(rows, arithmetic);
  return {};
}

Status BenchUnderLoad(BenchOptions options) {
  options.session.threads = static_cast<int>(options.threads.front());
  FULMEN_ASSIGN(const std::unique_ptr<Session> session, OpenSession(options.session));
  RepackIfWanted(*session, options.session, options.settings.quiet);
  options.load.prompts = options.prompts;
  options.load.generated = options.generated;
  options.load.json = options.json;
  options.load.quiet = options.settings.quiet;
  return BenchLoad(*session, options.load);
}

// An option that takes one number or several of them.
Option& AddNumbers(Command& command, std::string_view spec, Numbers& numbers,
                   const std::string& help, Range<int64_t> range) {
  return command
      .Add(
          spec,
          [&numbers, range](const std::string& text) { return ParseNumbers(text, range, numbers); },
          help)
      .Default(fmt::format("{}", numbers.front()));
}

}  // namespace

void AddBenchCommand(Command& program) {
  auto options = std::make_shared<BenchOptions>();
  Command& command = program.AddCommand(
      "bench", "Measure prompt and decode rates against the machine's own peaks");
  constexpr int64_t kMost = 1 << 24;
  AddModelOption(command, options->session.model,
                 "The model: a folder, a .gguf file, or OWNER/NAME of one that was pulled");
  AddKernelsOption(command, options->session.kernels);
  AddNumbers(command, "-t,--threads N,...", options->threads, "Threads that compute", {0, 1024})
      .Default("0, all processors this program may use", fmt::format("{}", AvailableProcessors()));
  AddRepackOption(command, options->session);
  AddKvTypeOption(command, options->session);
  AddNumbers(command, "-p,--prompt-tokens N,...", options->prompts,
             "Tokens of the prompt; 0: none is read", {0, kMost});
  AddNumbers(command, "-n,--new-tokens N,...", options->generated, "Tokens to decode; 0: none are",
             {0, kMost});
  AddNumbers(command, "-d,--depths N,...", options->depths,
             "Tokens already in the context before both", {.low = 0});
  AddNumbers(command, "-b,--batch N,...", options->batches, "Sequences decoded together",
             {.low = 1});
  command.Add("-r,--repetitions N", options->settings.repetitions,
              "Measurements, after a warm-up; the median counts", {1, 1000});
  command.Add("--profile", options->settings.profile,
              "Tell which operations the time of each measurement went to");
  command.Add("--peak", options->peak_only, "Only the machine's peaks")
      .Excludes({"--model", "--kernels", "--no-repack", "--kv-type", "--prompt-tokens",
                 "--new-tokens", "--depths", "--batch", "--repetitions", "--profile", "--load"});
  AddLoadOptions(command, options->load, options->with_load);
  command.Add("--json", options->json, "Print JSON, rates in units of one");
  AddQuietOption(command, options->settings.quiet);
  command.Notes(
      "Options that take several numbers are measured in all combinations, one row each, with the "
      "model opened once.\n"
      "Shares: the prompt's operations against the peak of what its products are made of, float32 "
      "multiply-adds or, where weights are quantized, products of bytes; the time that a step of "
      "decoding needs at least, to read each weight, state and key it uses once at the measured "
      "bandwidth or to compute at that peak, whichever is longer, against the time it took. Peaks "
      "are measured just before and after; where the two differ by more than a tenth, as they do "
      "on a shared machine, the measurement does not count and there is another, up to three times "
      "as many.");
  command.Examples({"fulmen bench -p 64 -n 8 -r 1 -d 0,256 -b 1,4", "fulmen bench --peak",
                    "fulmen bench --load --clients 4 -p 20,200 -n 30 --shared 10 --turns 2"});
  command.Check([options] { return CheckOptions(*options); });
  command.Run([options] {
    if (options->with_load) return BenchUnderLoad(*options);
    return options->peak_only
               ? BenchPeaks(static_cast<int>(options->threads.front()), options->json)
               : BenchModel(*options);
  });
}

}  // namespace fulmen
