// Files and folders that are gone when the program is, whatever ends it short of SIGKILL.
#pragma once

#include <atomic>
#include <string>

namespace fulmen {

// One of them, from before it is made to after it got its final name.
class Temporary {
 public:
  explicit Temporary(std::string path);
  // Removes what is there, a folder with all in it, unless Keep() was called.
  ~Temporary();
  Temporary(Temporary&& other) noexcept;
  Temporary& operator=(Temporary&&) = delete;

  const std::string& path() const { return path_; }
  // It is not temporary any more.
  void Keep();

  struct Slot {
    std::atomic<char*> path{nullptr};
    Slot* next = nullptr;
  };

 private:
  std::string path_;
  Slot* slot_;
};

// `path` with a suffix that nothing else has.
std::string TemporaryName(const std::string& path);

// Removes all there are. A signal handler may call it; the program has to end afterwards.
void RemoveTemporaries();

// From now on a signal whose default is to end the program does so after RemoveTemporaries().
// Signals that are ignored or handled already stay so.
void RemoveTemporariesOnSignals();

}  // namespace fulmen
