#include "engine/digest.h"

#include <gtest/gtest.h>

#include <array>

namespace fulmen {
namespace {

TEST(Digest, IsThatOfTheStandard) {
  const std::string digest = Sha256("abc");  // FIPS 180-2, appendix B.1
  EXPECT_EQ(Hex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Base64Url(digest), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}

TEST(Digest, FieldsDoNotRunIntoEachOther) {
  const auto of = [](std::string_view a, std::string_view b) {
    return DigestFields("test").Text(a).Text(b).Digest();
  };
  EXPECT_EQ(of("ab", "c"), of("ab", "c"));
  EXPECT_NE(of("ab", "c"), of("a", "bc"));
  EXPECT_NE(DigestFields("test").Text("a").Digest(), DigestFields("testa").Digest());
  const std::array<int32_t, 2> ids = {1, -2};
  EXPECT_EQ(IdsToBytes(ids), std::string("\x01\0\0\0\xfe\xff\xff\xff", 8));
}

}  // namespace
}  // namespace fulmen
