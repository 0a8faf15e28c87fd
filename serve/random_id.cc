#include <array>
#include <random>

#include "serve/api_call.h"

namespace fulmen {

std::string RandomId(std::string_view prefix) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  thread_local std::random_device entropy;
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(prefix);
  for (int i = 0; i < 22; ++i) id += kLetters[letter(entropy)];
  return id;
}

}  // namespace fulmen
