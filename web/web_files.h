// The files of the page as it was built, by their paths, as in "assets/index-1234.js".
#pragma once

#include <map>
#include <string_view>

namespace fulmen {

struct WebFile {
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed
};

const std::map<std::string_view, WebFile>& WebFiles();

}  // namespace fulmen
