#include "serve/public_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace fulmen {
namespace {

// Of IPv6 the first 64 bits, in which all nets here differ; IPv4 fills the upper half.
struct Net {
  uint64_t first;
  int bits;

  constexpr bool Has(uint64_t address) const { return (address ^ first) >> (64 - bits) == 0; }
};

constexpr Net V4(uint64_t a, uint64_t b, uint64_t c, uint64_t d, int bits) {
  return {a << 56 | b << 48 | c << 40 | d << 32, bits};
}

// Of IANA's registry of special purposes, what is not reachable for everybody.
constexpr std::array kNotPublicV4 = {
    V4(0, 0, 0, 0, 8),         // this network
    V4(10, 0, 0, 0, 8),        // private
    V4(100, 64, 0, 0, 10),     // between a provider and its customers
    V4(127, 0, 0, 0, 8),       // loopback
    V4(168, 63, 129, 16, 32),  // what Azure's machines reach Azure at, though it looks public
    V4(169, 254, 0, 0, 16),    // link-local; metadata of most clouds
    V4(172, 16, 0, 0, 12),     // private
    V4(192, 0, 0, 0, 24),      // protocols
    V4(192, 0, 2, 0, 24),      // documentation
    V4(192, 88, 99, 0, 24),    // relays of 6to4
    V4(192, 168, 0, 0, 16),    // private
    V4(198, 18, 0, 0, 15),     // benchmarks
    V4(198, 51, 100, 0, 24),   // documentation
    V4(203, 0, 113, 0, 24),    // documentation
    V4(224, 0, 0, 0, 3),       // multicast, reserved, broadcast
};

// All that is public lies in this, which leaves out loopback, IPv4-mapped, IPv4-compatible, NAT64,
// unique local, link-local, site-local and multicast.
constexpr Net kGlobalV6 = {0x2000'0000'0000'0000, 3};
constexpr std::array kNotPublicV6 = {
    Net{0x2001'0000'0000'0000, 23},  // protocols, Teredo and benchmarks among them
    Net{0x2001'0db8'0000'0000, 32},  // documentation
    Net{0x2002'0000'0000'0000, 16},  // 6to4: an IPv4 address follows
    Net{0x3fff'0000'0000'0000, 20},  // documentation
};

bool IsInAny(std::span<const Net> nets, uint64_t address) {
  return std::ranges::any_of(nets, [&](const Net& net) { return net.Has(address); });
}

}  // namespace

bool IsPublicAddress(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return !IsInAny(kNotPublicV4, uint64_t{ntohl(v4.sin_addr.s_addr)} << 32);
  }
  if (address.sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    uint64_t first = 0;
    for (int i = 0; i < 8; ++i) first = first << 8 | v6.sin6_addr.s6_addr[i];
    return kGlobalV6.Has(first) && !IsInAny(kNotPublicV6, first);
  }
  return false;
}

}  // namespace fulmen
