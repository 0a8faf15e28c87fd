// Tokenizing all of data/text with the published vocabulary, on one core; and the share of it that
// only cutting the text into pieces takes, by our scanner and by Oniguruma with the same pattern.
// Usage: tokenizer_bench MODEL TEXT..., e.g. golden/tokenizer/minimax and data/text/*.txt
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <span>

#include "base/check.h"
#include "base/file_io.h"
#include "tokenizer/published_split.h"
#include "tokenizer/regex.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

constexpr int kRounds = 7;

// Of this one thread's processor time: other programs on the machine do not count.
double Seconds(const std::function<void()>& body) {
  const std::clock_t begin = std::clock();
  body();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

size_t CountPieces(std::string_view text) {
  const PublishedSplit split;
  const char* end = text.data() + text.size();
  size_t pieces = 0;
  for (const char* p = text.data(); p != end; p = split.PieceEnd(p, end)) ++pieces;
  return pieces;
}

Status Run(const std::string& model, std::span<char*> files) {
  Result<Tokenizer> tokenizer = Tokenizer::Load(model);
  const double load = Seconds([&] { tokenizer = Tokenizer::Load(model); });
  if (!tokenizer) return tl::unexpected<Error>(tokenizer.error());
  FULMEN_ASSIGN(const Regex regex, Regex::Compile(std::string(kPublishedSplitPattern), "pattern"));
  fmt::print("load {:.2f} s\n{:<28}{:>10}{:>12}{:>12}{:>12}  (MB/s, best of {})\n", load, "text",
             "bytes", "encode", "our split", "Oniguruma", kRounds);
  double bytes = 0;
  double total[3] = {};
  for (const char* file : files) {
    FULMEN_ASSIGN(const std::string text, ReadFile(file));
    double best[3] = {1e9, 1e9, 1e9};
    size_t tokens = 0;
    size_t pieces[2] = {};
    for (int round = 0; round < kRounds; ++round) {  // alternated, so that all see the same machine
      best[0] = std::min(best[0], Seconds([&] {
                           tokens = tokenizer->Encode(text, Tokenizer::Markers::kPlain).size();
                         }));
      best[1] = std::min(best[1], Seconds([&] { pieces[0] = CountPieces(text); }));
      best[2] = std::min(best[2], Seconds([&] {
                           pieces[1] = 0;
                           regex.ForEachMatch(text, [&](size_t, size_t) { ++pieces[1]; });
                         }));
    }
    FULMEN_CHECK(tokens >= pieces[0], "{} tokens in {} pieces", tokens, pieces[0]);
    const auto size = static_cast<double>(text.size());
    const std::string_view name =
        std::string_view(file).substr(std::string_view(file).rfind('/') + 1);
    fmt::print("{:<28}{:>10}{:>12.1f}{:>12.1f}{:>12.1f}{}\n", name, text.size(),
               size / best[0] / 1e6, size / best[1] / 1e6, size / best[2] / 1e6,
               pieces[0] == pieces[1] ? "" : "  (pieces differ: older Unicode)");
    bytes += size;
    for (int i = 0; i < 3; ++i) total[i] += best[i];
  }
  fmt::print("{:<28}{:>10.0f}{:>12.1f}{:>12.1f}{:>12.1f}\nencode / Oniguruma's split: {:.2f}\n",
             "all", bytes, bytes / total[0] / 1e6, bytes / total[1] / 1e6, bytes / total[2] / 1e6,
             total[2] / total[0]);
  return {};
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: tokenizer_bench MODEL TEXT...\n");
    return EXIT_FAILURE;
  }
  const std::span<char*> arguments(argv, static_cast<size_t>(argc));
  const fulmen::Status status = fulmen::Run(arguments[1], arguments.subspan(2));
  if (status) return EXIT_SUCCESS;
  fmt::print(stderr, "tokenizer_bench: {}\n", status.error().message);
  return EXIT_FAILURE;
}
