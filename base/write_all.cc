#include "base/write_all.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace fulmen {

int WriteAll(int file, std::string_view bytes) {
  constexpr size_t kMost = size_t{1} << 30;  // write() takes no more than 2 GiB
  while (!bytes.empty()) {
    const ssize_t count = write(file, bytes.data(), std::min(bytes.size(), kMost));
    if (count > 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd waiting = {file, POLLOUT, 0};
      (void)poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace fulmen
