// HTTP as the routes see it: a request that has arrived whole, and an exchange to answer it by.
//
// Routes are coroutines on the server's one I/O thread and must not block it. Nothing here is
// thread safe but what says so.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api_error.h"

namespace fulmen {

// Who asks, by the key that was shown.
struct Caller {
  std::string space = {};         // what it reads and keeps, nobody of another space finds
  std::string key = {};           // id of its key in the ledger; "": there is no ledger
  std::string organisation = {};  // that its key belongs to; likewise
  bool is_admin = false;          // its key is for the ledger, not for answers

  // Whose Idempotency-Keys it knows.
  const std::string& owner() const { return key.empty() ? space : key; }
};

// Who may ask by a route.
enum class Access : uint8_t {
  kAnyone,
  kKey,    // who has a key, where the server has keys
  kAdmin,  // an administrator's key, where it has a ledger
};

struct HttpRequest {
  std::string method;
  std::string path;   // decoded, without the query
  std::string query;  // as it was sent, without "?"
  bool is_http_10 = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string peer;  // address and port
  std::string id;    // "req_..."; the answer has it as x-request-id and request-id
  Caller caller;     // on routes that need a key

  // The first of this name, whatever its case; "" when there is none.
  std::string_view Header(std::string_view name) const;
  // The value of a key of the query, decoded; "" when there is none.
  std::string Query(std::string_view key) const;
};

// Says who asks, or why they may not.
using Authorize = std::function<ApiResult<Caller>(const HttpRequest&, Access)>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};

  static HttpResponse OfJson(const Json& json, int status = 200);
};

// In the head of an answer: what was left out of the schema that it was to be held to.
inline constexpr std::string_view kLeftOutHeader = "fulmen-schema-left-out";

class RecordedAnswer;

class Exchange {
 public:
  virtual ~Exchange() = default;

  const HttpRequest& request() const { return request_; }
  std::string TakeBody() { return std::move(request_.body); }  // 64 MB are not copied
  ApiStyle style() const { return StyleOfPath(request_.path); }

  // The whole answer. Of all that follows, one call at a time; an answer that is begun twice throws
  // std::logic_error.
  virtual boost::asio::awaitable<void> Respond(HttpResponse response) = 0;
  // Or a stream: its head, then pieces (each a chunk of its own, and flushed), then its end. False:
  // the client has left, and nothing more need be written.
  virtual boost::asio::awaitable<bool> BeginStream(HttpResponse head) = 0;
  virtual boost::asio::awaitable<bool> Write(std::string_view piece) = 0;
  virtual boost::asio::awaitable<void> EndStream() = 0;
  // An interim answer before the head, as 102 (Processing). Not for HTTP/1.0.
  virtual boost::asio::awaitable<bool> Interim(int status) = 0;

  // Where the answer is kept, for who asks again; null: nowhere.
  virtual RecordedAnswer* record() { return nullptr; }

  // Called once, on the I/O thread, as soon as the client has left, or at once if it has; until the
  // answer has ended. So that nobody works for it any more. A later call replaces an earlier one.
  virtual void OnLeave(std::function<void()> leave) = 0;

 protected:
  explicit Exchange(HttpRequest request) : request_(std::move(request)) {}

 private:
  HttpRequest request_;
};

// The answer that says what is wrong, and whether trying again may help.
HttpResponse ErrorResponse(ApiStyle style, const ApiError& error, std::string_view request_id);
HttpResponse ErrorResponse(const Exchange& exchange, const ApiError& error);

// Values of the {names} in a route's path.
using PathValues = std::map<std::string, std::string, std::less<>>;
using RouteHandler = std::function<boost::asio::awaitable<void>(Exchange&, const PathValues&)>;

// What a route takes and gives: names of schemas (api_schemas.h), "" for what has none.
struct RouteSchemas {
  std::string_view body = {};
  std::string_view answer = {};
  std::string_view event = {};  // of the answer as a stream
  std::string_view query = {};  // an object of what the query may have
  int status = 200;             // of the answer
};

struct Route {
  std::string method;
  std::string path;  // as "/v1/responses/{id}"
  RouteHandler handler;
  Access access = Access::kKey;
  std::string summary = {};  // for /openapi.json, as the next
  RouteSchemas schemas = {};
  size_t most_body = 0;  // bytes; 0: as many as the server takes
};

}  // namespace fulmen
