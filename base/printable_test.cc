#include "base/printable.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace fulmen {
namespace {

using namespace std::string_view_literals;

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(Printable("plain \\ \"text\""), "plain \\ \"text\"");
  EXPECT_EQ(Printable("réponse 答 😀"), "réponse 答 😀");
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, EscapesWhatIsNotPrinted) {
  EXPECT_EQ(Printable("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(Printable("\x1b[2J\0\x7f"sv), "\\x1b[2J\\x00\\x7f");
  EXPECT_EQ(Printable("\xff|\xe7\xad|\xed\xa0\x80"), "\\xff|\\xe7\\xad|\\xed\\xa0\\x80");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\u{9b}");  // CSI, as a terminal may read it
  EXPECT_EQ(Printable("a\xe2\x80\xae"
                      "b\xe2\x80\xac"),
            "a\\u{202e}b\\u{202c}");  // text between the two runs backwards
  EXPECT_EQ(Printable("\xe2\x80\xa8\xef\xbb\xbf"), "\\u{2028}\\u{feff}");
  EXPECT_EQ(Printable(Printable("\x1b\xff\n")), "\\x1b\\xff\\n");
}

TEST(Printable, ShortensInTheMiddleBetweenCharacters) {
  EXPECT_EQ(Printable("0123456789", 10), "0123456789");
  EXPECT_EQ(Printable("0123456789ab", 9), "012345 ... 9ab");
  EXPECT_EQ(Printable("答答答答答答", 9), "答答 ... 答");
  EXPECT_EQ(Printable("答答答答答答", 8), "答 ... ");
}

TEST(PrintableMessage, IsOneShortLine) {
  const Error error{ErrorCode::kCorrupt,
                    "a\nb: tensor \"" + std::string(1 << 20, 'x') + "\" is odd"};
  const std::string message = PrintableMessage(error);
  EXPECT_LT(message.size(), 1100U);
  EXPECT_TRUE(message.starts_with("a\\nb: tensor \"xxx"));
  EXPECT_TRUE(message.ends_with("xxx\" is odd"));
}

}  // namespace
}  // namespace fulmen
