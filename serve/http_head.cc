#include "serve/http_head.h"

#include <fmt/chrono.h>

#include <boost/beast/http/status.hpp>
#include <chrono>

namespace fulmen {
namespace {

void AppendStatusLine(int status, std::string& out) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  out += fmt::format("HTTP/1.1 {} {}\r\n", status, std::string_view(reason.data(), reason.size()));
}

// Line ends in a value would begin headers of their own.
void AppendHeader(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ");
  for (const char c : value) out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  out += "\r\n";
}

}  // namespace

bool HasBody(int status) { return status >= 200 && status != 204 && status != 304; }

std::string WriteHead(const HttpHead& head) {
  const HttpResponse& response = head.response;
  std::string out;
  AppendStatusLine(response.status, out);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  AppendHeader("date", fmt::format("{:%a, %d %b %Y %H:%M:%S GMT}", fmt::gmtime(now)), out);
  if (!response.content_type.empty()) AppendHeader("content-type", response.content_type, out);
  for (const auto& [name, value] : response.headers) AppendHeader(name, value, out);
  AppendHeader("x-request-id", head.request.id, out);
  AppendHeader("request-id", head.request.id, out);
  if (head.framing == HttpFraming::kChunked) {
    AppendHeader("transfer-encoding", "chunked", out);
  } else if (head.framing == HttpFraming::kLength && HasBody(response.status)) {
    AppendHeader("content-length", std::to_string(response.body.size()), out);
  }
  if (!head.keep_alive) {
    AppendHeader("connection", "close", out);
  } else if (head.request.is_http_10) {
    AppendHeader("connection", "keep-alive", out);
  }
  return out += "\r\n";
}

std::string WriteInterimHead(int status) {
  std::string out;
  AppendStatusLine(status, out);
  return out += "\r\n";
}

void AppendChunk(std::string_view piece, std::string& out) {
  out.append(fmt::format("{:x}\r\n", piece.size())).append(piece).append("\r\n");
}

}  // namespace fulmen
