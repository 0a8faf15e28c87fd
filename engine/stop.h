// Stop strings in streamed text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fulmen {

// Passes text on until one of the stop strings is complete. Text that may yet turn out to be the
// beginning of a stop string is held back, so nothing of a stop string is ever passed on. How the
// text is cut into pieces makes no difference: the stop string that ends first counts, and of those
// that end together the longest. Linear in the text for each stop string (Knuth, Morris and Pratt).
class StopMatcher {
 public:
  // The strings must not be empty.
  explicit StopMatcher(const std::vector<std::string>& stop_strings);

  // The text that can be passed on now. After a stop string was found: nothing, ever.
  std::string Add(std::string_view text);
  // What was held back, at the end of the stream.
  std::string Flush();

  // The stop string that ended the text.
  const std::optional<std::string>& found() const { return found_; }

 private:
  struct Pattern {
    std::string text;
    // fallback[n]: length of the longest proper prefix of text[0, n) that is also its suffix.
    std::vector<size_t> fallback;
    size_t matched = 0;  // characters of `text` that the stream ends with
  };
  static void Advance(Pattern& pattern, char next);

  std::vector<Pattern> patterns_;
  std::string held_;
  std::optional<std::string> found_;
};

}  // namespace fulmen
