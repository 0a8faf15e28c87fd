// Reads a request from the bytes of a connection, by the parser of Beast, and refuses whatever two
// programs might read in two ways: a proxy before us would see other requests than we do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "serve/http.h"
#include "serve/http_text.h"

namespace fulmen {

struct HttpLimits {
  size_t header = 0;  // bytes, with the request line
  size_t headers = 0;
  size_t body = 0;  // bytes
};

class HttpParser {
 public:
  explicit HttpParser(const HttpLimits& limits);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  // Takes what it can from the front of `bytes`, and says how much; what it leaves must come again,
  // with more behind it. It stops behind the header and behind the request. Errors are kInvalid and
  // kTooLarge, and the last thing it says.
  ApiResult<size_t> Put(std::string_view bytes);

  bool has_begun() const;
  bool has_header() const;
  bool is_done() const;

  // As far as it has come. Headers are those before the body.
  HttpRequest& request();
  const HttpTarget& target() const;

  // Once the header is there.
  bool keep_alive() const;
  bool has_body() const;
  // Takes no more of a body than so much, where that is less than it would have.
  void LimitBody(size_t bytes);
  // kTooLarge where the body says that it will be.
  ApiResult<void> CheckLength() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fulmen
