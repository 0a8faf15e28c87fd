// Writes the heads of answers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "serve/http.h"

namespace fulmen {

// Whether answers of this status have one.
bool HasBody(int status);

// How the end of an answer's body is known.
enum class HttpFraming : uint8_t { kLength, kChunked, kUntilClose };

struct HttpHead {
  const HttpRequest& request;
  const HttpResponse& response;
  HttpFraming framing = HttpFraming::kLength;
  bool keep_alive = true;
};
// With the empty line behind it, and with date, ids, length and what concerns the connection.
std::string WriteHead(const HttpHead& head);
// Of an interim answer, as 100 or 102.
std::string WriteInterimHead(int status);

// A piece of a chunked body; an empty one would be its end.
void AppendChunk(std::string_view piece, std::string& out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace fulmen
