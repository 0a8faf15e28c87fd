// fulmen pull: brings a model from a host.
#include "fetch/pull.h"

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ascii.h"
#include "base/console.h"
#include "base/file_io.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/progress.h"
#include "cli/session.h"

namespace fulmen {
namespace {

struct PullCommandOptions {
  PullOptions pull;
  std::optional<std::string> out;
  std::string token_file;
  bool json = false;
  bool quiet = false;
};

Result<std::string> FindToken(const std::string& file) {
  if (file.empty()) return std::string(Trimmed(EnvironmentVariable("HF_TOKEN")));
  FULMEN_ASSIGN(const std::string text, ReadFile(file));
  std::string token(Trimmed(text));
  if (!token.empty()) return token;
  return Fail(ErrorCode::kInvalidArgument, "{}: expected a token, found nothing", file);
}

std::string Counted(size_t count) { return fmt::format("{} file{}", count, count == 1 ? "" : "s"); }

Json ReportJson(const PullOptions& options, const PullReport& report, const std::string& path) {
  Json files = Json::array();
  for (const PulledFile& each : report.files) {
    files.push_back({{"path", each.file.path},
                     {"size", each.file.size},
                     {"checksum", each.file.checksum.Text()},
                     {"was_there", each.was_there}});
  }
  return {{"model", options.model.model()},
          {"revision", options.revision},
          {"commit", report.commit},
          {"folder", options.folder},
          {"path", path},
          {"dry_run", options.dry_run},
          {"bytes", report.bytes},
          {"missing_bytes", report.missing_bytes},
          {"files", std::move(files)},
          {"removed", report.removed}};
}

void PrintFiles(const PullOptions& options, const PullReport& report) {
  for (const PulledFile& each : report.files) {
    Print("{:>9}  {}  {}\n", HumanBytes(each.file.size), each.was_there ? "there  " : "missing",
          Printable(each.file.path));
  }
  Print("{:>9}  of {} to fetch into {}\n", HumanBytes(report.missing_bytes),
        HumanBytes(report.bytes), options.folder);
}

// What was done, for a person.
void SaySummary(const PullOptions& options, const PullReport& report) {
  size_t there = 0;
  for (const PulledFile& each : report.files) there += each.was_there ? 1 : 0;
  const size_t fetched = report.files.size() - there;
  if (fetched == 0) {
    Say("{} of {} ({}) {} there already, as of commit {:.12}\n", Counted(there),
        options.model.model(), HumanBytes(report.bytes), there == 1 ? "is" : "are", report.commit);
  } else {
    Say("{} of {} ({}) fetched, as of commit {:.12}{}\n", Counted(fetched), options.model.model(),
        HumanBytes(report.missing_bytes), report.commit,
        there == 0 ? "" : fmt::format("; {} were there", there));
  }
  if (!report.removed.empty()) {
    Say("{} removed that the host has no longer\n", Counted(report.removed.size()));
  }
}

Result<PullReport> RunPull(PullCommandOptions& options) {
  const InterruptGuard interrupt;
  options.pull.transfer.stopped = [&] { return interrupt.flag().load(); };
  std::optional<Progress> progress;
  const PullObserver observer = {
      .start =
          [&](int64_t bytes, int64_t there) {
            progress.emplace(options.quiet ? "" : "fetching", Progress::Bytes{bytes, there});
          },
      .progress = [&](int64_t bytes) { progress->Add(bytes); }};
  Result<PullReport> report = PullModel(options.pull, observer);
  if (report || report.error().code != ErrorCode::kCancelled) return report;
  return Fail(ErrorCode::kCancelled, "stopped; the same command goes on with what has come");
}

Status PullAndTell(PullCommandOptions& options) {
  PullOptions& pull = options.pull;
  if (const std::string endpoint = EnvironmentVariable("HF_ENDPOINT"); !endpoint.empty()) {
    pull.endpoint = endpoint;
  }
  FULMEN_ASSIGN(pull.token, FindToken(options.token_file));
  if (options.out) {
    pull.folder = *options.out;
  } else {
    FULMEN_ASSIGN(pull.folder, PulledModelFolder(pull.model));
  }
  FULMEN_ASSIGN(const PullReport report, RunPull(options));
  const std::string path = PulledModelPath(pull.folder, pull.model).value_or(pull.folder);
  if (options.json) {
    const Json json = ReportJson(pull, report, path);
    Print("{}\n", DumpJson(json));
  } else if (pull.dry_run) {
    PrintFiles(pull, report);
  } else {
    Print("{}\n", path);
  }
  if (!options.quiet && !pull.dry_run) SaySummary(pull, report);
  return {};
}

}  // namespace

void AddPullCommand(Command& program) {
  auto options = std::make_shared<PullCommandOptions>();
  PullOptions& pull = options->pull;
  Command& command =
      program.AddCommand("pull", "Fetch a model from Hugging Face or a host like it");
  command
      .Add(
          "MODEL",
          [&pull](const std::string& text) -> Status {
            FULMEN_ASSIGN(pull.model, ParseModelReference(text));
            return {};
          },
          "OWNER/NAME, or OWNER/NAME:FILE for one file or a pattern such as *Q4_K_M*; of a GGUF "
          "model in parts, any part brings all")
      .Required();
  command.Add("--revision REV", pull.revision, "A branch, a tag or a commit");
  command.Add("--include PATTERN", pull.filter.include,
              "Files that match, in place of those a model needs; * takes slashes, too");
  command.Add("--exclude PATTERN", pull.filter.exclude, "None of the files that match");
  command.Add("--out FOLDER", options->out, "Where to put the files")
      .Default(
          "OWNER/NAME in $FULMEN_MODELS, else in $XDG_DATA_HOME/fulmen/models, else in "
          "~/.local/share/fulmen/models");
  command.Add("--parallel N", pull.parallel, "Requests at a time", {1, 64});
  command.Add("--token-file FILE", options->token_file, "A file that holds the token to use")
      .Default("the token in $HF_TOKEN, else none");
  command.Add("--dry-run", pull.dry_run, "List the files and what of them is there; fetch nothing");
  command.Add("--json", options->json, "Print one JSON object");
  AddQuietOption(command, options->quiet, "progress and no summary");
  command.Notes(
      "Prints where the model lies; -m OWNER/NAME then finds it in every command. A pull that was "
      "stopped, by whatever, goes on where it was when it is called again, and one that is called "
      "again later fetches what has changed. $HF_ENDPOINT is the host, https://huggingface.co "
      "unless it is set.");
  command.Examples({"fulmen pull MiniMaxAI/MiniMax-M1-80k --dry-run",
                    "fulmen pull MiniMaxAI/MiniMax-M1-80k --include \"*.json\" --out /tmp/m1",
                    "fulmen pull someone/MiniMax-M1-GGUF:*Q4_K_M*"});
  command.Check([&pull]() -> Status {
    if (pull.model.file.empty() || pull.filter.include.empty()) return {};
    return Fail(ErrorCode::kInvalidArgument, "--include does nothing with {}:FILE",
                pull.model.model());
  });
  command.Run([options] { return PullAndTell(*options); });
}

}  // namespace fulmen
