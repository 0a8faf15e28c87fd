// The files of the page, by name.
#pragma once

#include <map>
#include <string_view>

namespace fulmen {

const std::map<std::string_view, std::string_view>& WebFiles();

}  // namespace fulmen
