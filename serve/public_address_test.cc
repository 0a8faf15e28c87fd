#include "serve/public_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <string>

namespace fulmen {
namespace {

bool IsPublic(const std::string& text) {
  sockaddr_storage storage = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    storage.ss_family = AF_INET;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
    storage.ss_family = AF_INET6;
  }
  return IsPublicAddress(reinterpret_cast<const sockaddr&>(storage));
}

// The first and last of each net, and their public neighbours.
TEST(PublicAddress, V4) {
  for (const char* text :
       {"0.0.0.0",         "0.255.255.255",   "10.0.0.0",        "10.255.255.255",
        "100.64.0.0",      "100.100.100.200", "100.127.255.255", "127.0.0.0",
        "127.0.0.1",       "127.255.255.255", "168.63.129.16",   "169.254.0.0",
        "169.254.169.254", "169.254.255.255", "172.16.0.0",      "172.31.255.255",
        "192.0.0.0",       "192.0.0.255",     "192.0.2.0",       "192.0.2.255",
        "192.88.99.0",     "192.88.99.255",   "192.168.0.0",     "192.168.255.255",
        "198.18.0.0",      "198.19.255.255",  "198.51.100.0",    "198.51.100.255",
        "203.0.113.0",     "203.0.113.255",   "224.0.0.0",       "239.255.255.255",
        "240.0.0.0",       "255.255.255.255"}) {
    EXPECT_FALSE(IsPublic(text)) << text;
  }
  for (const char* text :
       {"1.0.0.0",         "8.8.8.8",         "9.255.255.255",  "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",     "126.255.255.255", "128.0.0.0",      "168.63.129.15",   "168.63.129.17",
        "169.253.255.255", "169.255.0.0",     "172.15.255.255", "172.32.0.0",      "192.0.1.0",
        "192.0.3.0",       "192.88.98.255",   "192.88.100.0",   "192.167.255.255", "192.169.0.0",
        "198.17.255.255",  "198.20.0.0",      "198.51.99.255",  "198.51.101.0",    "203.0.112.255",
        "203.0.114.0",     "223.255.255.255"}) {
    EXPECT_TRUE(IsPublic(text)) << text;
  }
}

TEST(PublicAddress, V6) {
  for (const char* text : {"::",
                           "::1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::127.0.0.1",
                           "::8.8.8.8",
                           "::ffff:0:127.0.0.1",
                           "64:ff9b::10.0.0.1",
                           "64:ff9b::8.8.8.8",
                           "64:ff9b:1::10.0.0.1",
                           "100::1",
                           "1fff:ffff::1",
                           "2001::1",
                           "2001:0:7f00:1::",
                           "2001:2::1",
                           "2001:10::1",
                           "2001:1ff:ffff::1",
                           "2001:db8::1",
                           "2001:db8:ffff:ffff::1",
                           "2002:7f00:1::",
                           "2002:808:808::",
                           "3fff::1",
                           "3fff:fff:ffff::1",
                           "4000::1",
                           "5f00::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "fdff:ffff::1",
                           "fe80::1",
                           "febf:ffff::1",
                           "fec0::1",
                           "feff::1",
                           "ff02::1",
                           "ffff::1"}) {
    EXPECT_FALSE(IsPublic(text)) << text;
  }
  for (const char* text :
       {"2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1",
        "2003::1", "2606:4700::1111", "2a00:1450::1", "3ffe:ffff::1", "3fff:1000::1"}) {
    EXPECT_TRUE(IsPublic(text)) << text;
  }
}

TEST(PublicAddress, OtherFamilies) {
  sockaddr_storage storage = {};
  for (const int family : {AF_UNSPEC, AF_UNIX, AF_NETLINK}) {
    storage.ss_family = static_cast<sa_family_t>(family);
    EXPECT_FALSE(IsPublicAddress(reinterpret_cast<const sockaddr&>(storage)));
  }
}

}  // namespace
}  // namespace fulmen
