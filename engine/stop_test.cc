#include "engine/stop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace fulmen {
namespace {

// The definition: the text before the stop string that ends first, of those the longest.
std::string NaiveCut(const std::string& text, const std::vector<std::string>& stops, bool* found) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) {
      *found = true;
      return text.substr(0, end - longest);
    }
  }
  *found = false;
  return text;
}

// Whether some end of `text` is the beginning of a stop string: then that much must be held back.
size_t NaiveHold(const std::string& text, const std::vector<std::string>& stops) {
  size_t hold = 0;
  for (const std::string& stop : stops) {
    for (size_t n = 1; n < stop.size() && n <= text.size(); ++n) {
      if (text.compare(text.size() - n, n, stop, 0, n) == 0) hold = std::max(hold, n);
    }
  }
  return hold;
}

TEST(StopMatcher, AgreesWithTheDefinitionOnRandomText) {
  std::mt19937_64 random(1);
  const auto word = [&random](size_t most) {
    std::string text(1 + random() % most, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> stops(random() % 4);
    for (std::string& stop : stops) stop = word(6);
    const std::string text = word(40);
    bool found = false;
    const std::string expected = NaiveCut(text, stops, &found);
    stopped += found ? 1 : 0;

    StopMatcher matcher(stops);
    std::string passed;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(random() % 5, text.size() - at);
      passed += matcher.Add(text.substr(at, length));
      at += length;
      if (!matcher.found()) {
        const std::string so_far = text.substr(0, at);
        ASSERT_EQ(passed, so_far.substr(0, at - NaiveHold(so_far, stops)));
      }
    }
    ASSERT_EQ(matcher.found().has_value(), found) << text;
    ASSERT_EQ(passed + matcher.Flush(), expected) << text;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_LT(stopped, 19'000);
}

TEST(StopMatcher, HoldsBackAcrossPieces) {
  StopMatcher matcher({"\nUser:", "END"});
  EXPECT_EQ(matcher.Add("Hello"), "Hello");
  EXPECT_EQ(matcher.Add("\nUs"), "");
  EXPECT_EQ(matcher.Add("ual. E"), "\nUsual. ");
  EXPECT_EQ(matcher.Add("N"), "");
  EXPECT_EQ(matcher.Add("D of it"), "");
  EXPECT_EQ(matcher.found(), "END");
  EXPECT_EQ(matcher.Flush(), "");
  EXPECT_EQ(matcher.Add("more"), "");
}

TEST(StopMatcher, WithoutStopStringsTextPasses) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Add("anything"), "anything");
  EXPECT_EQ(matcher.Flush(), "");
}

}  // namespace
}  // namespace fulmen
