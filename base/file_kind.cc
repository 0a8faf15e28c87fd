#include "base/file_kind.h"

#include <fmt/core.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace fulmen {

namespace fs = std::filesystem;

std::string_view FileKind(std::string_view start) {
  using std::string_view_literals::operator""sv;
  if (start.empty()) return "an empty file";
  // A header's length in 8 bytes, of which the upper four are zero, and the header.
  if (start.size() > 8 && start.substr(4, 5) == "\0\0\0\0{"sv) return "a safetensors file";
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kMagics = {{
      {"version https://git-lfs.github.com/spec/"sv,
       "a Git LFS pointer (git lfs pull fetches the file it stands for)"sv},
      {"GGUF"sv, "a GGUF file"sv},
      {"PK\x03\x04"sv, "a zip archive, as PyTorch writes them (.bin, .pt, .pth)"sv},
      {"\x80\x02"sv, "a Python pickle, as PyTorch writes them (.bin, .pt, .pth)"sv},
      {"\x1F\x8B"sv, "a gzip archive"sv},
      {"\xFF\xFE"sv, "text in UTF-16"sv},
      {"\xFE\xFF"sv, "text in UTF-16"sv},
      {"<!DOCTYPE"sv, "a web page"sv},
      {"<!doctype"sv, "a web page"sv},
      {"<html"sv, "a web page"sv},
  }};
  for (const auto& [magic, kind] : kMagics) {
    if (start.starts_with(magic)) return kind;
  }
  return "";
}

std::string PathKind(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  switch (status.type()) {
    case fs::file_type::not_found:
      return "nothing";
    case fs::file_type::directory:
      return "a folder";
    case fs::file_type::fifo:
      return "a FIFO";
    case fs::file_type::socket:
      return "a socket";
    case fs::file_type::block:
    case fs::file_type::character:
      return "a device";
    case fs::file_type::regular:
      break;
    default:
      return fmt::format("what cannot be looked at ({})", error.message());
  }
  std::array<char, 64> start;
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), start.size());
  const std::string_view kind = FileKind({start.data(), static_cast<size_t>(file.gcount())});
  return kind.empty() ? "a file" : std::string(kind);
}

}  // namespace fulmen
