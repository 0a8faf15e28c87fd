#include "base/temporaries.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

namespace fulmen {
namespace {

// A signal may come at any instruction, so names are published without locks: slots are reused but
// never freed, and whoever takes a name out of its slot owns it.
std::atomic<Temporary::Slot*> slots{nullptr};
static_assert(std::atomic<char*>::is_always_lock_free, "a signal handler may not wait for a lock");

Temporary::Slot* Publish(const std::string& path) {
  char* copy = strdup(path.c_str());
  if (copy == nullptr) throw std::bad_alloc();
  for (Temporary::Slot* slot = slots; slot != nullptr; slot = slot->next) {
    char* empty = nullptr;
    if (slot->path.compare_exchange_strong(empty, copy)) return slot;
  }
  auto* slot = new Temporary::Slot;
  slot->path = copy;
  slot->next = slots;
  while (!slots.compare_exchange_weak(slot->next, slot)) {
  }
  return slot;
}

// Removes `name` below the open folder `parent`, a folder with all in it. Only system calls, and
// buffers on the stack: a signal handler calls it, too.
void Remove(int parent, const char* name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
  const int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  // Removing entries may upset the reading of others, and other threads may be adding some still.
  for (int pass = 0; pass < 100; ++pass) {
    alignas(dirent64) std::array<char, 4096> entries;
    ssize_t bytes = 0;
    while ((bytes = getdents64(folder, entries.data(), entries.size())) > 0) {
      for (ssize_t at = 0; at < bytes;) {
        const auto* entry = reinterpret_cast<const dirent64*>(entries.data() + at);
        at += entry->d_reclen;
        const std::string_view child = entry->d_name;
        if (child != "." && child != "..") Remove(folder, entry->d_name);
      }
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != ENOTEMPTY) break;
    lseek(folder, 0, SEEK_SET);
  }
  close(folder);
}

void RemoveAndDie(int signal) {
  RemoveTemporaries();
  raise(signal);  // SA_RESETHAND has put the default back
}

}  // namespace

Temporary::Temporary(std::string path) : path_(std::move(path)), slot_(Publish(path_)) {}

Temporary::Temporary(Temporary&& other) noexcept
    : path_(std::move(other.path_)), slot_(std::exchange(other.slot_, nullptr)) {}

Temporary::~Temporary() {
  if (slot_ == nullptr) return;
  Remove(AT_FDCWD, path_.c_str());
  Keep();
}

void Temporary::Keep() { std::free(std::exchange(slot_, nullptr)->path.exchange(nullptr)); }

std::string TemporaryName(const std::string& path) {
  std::random_device random;
  return fmt::format("{}.{:08x}{:08x}", path, random(), random());
}

void RemoveTemporaries() {
  for (Temporary::Slot* slot = slots; slot != nullptr; slot = slot->next) {
    // Taken out for good: its owner may be freeing it in another thread.
    if (const char* path = slot->path.exchange(nullptr)) Remove(AT_FDCWD, path);
  }
}

void RemoveTemporariesOnSignals() {
  for (const int signal : {SIGHUP,  SIGINT,    SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                           SIGFPE,  SIGUSR1,   SIGSEGV, SIGUSR2, SIGALRM, SIGTERM, SIGSTKFLT,
                           SIGXCPU, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  SIGSYS}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = RemoveAndDie;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace fulmen
