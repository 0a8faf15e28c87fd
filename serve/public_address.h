// Which addresses belong to the internet, and which to somebody's own network or machine.
#pragma once

#include <sys/socket.h>

namespace fulmen {

// False for private, loopback, link-local, multicast, reserved, documentation and test addresses,
// for IPv6 ones that hold an IPv4 address or are translated to one, and for other families. A
// sockaddr_in or sockaddr_in6 of that family must lie there.
bool IsPublicAddress(const sockaddr& address);

}  // namespace fulmen
