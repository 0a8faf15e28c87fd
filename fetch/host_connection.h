// One GET at a time over HTTP or HTTPS: redirects followed, everything that a host sends bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>

#include "base/status.h"
#include "fetch/byte_ranges.h"
#include "fetch/curl_handle.h"

namespace fulmen {

struct TransferOptions {
  int attempts = 8;  // at one request, as long as none of them gains anything
  std::chrono::milliseconds first_pause{500};  // between attempts, doubled each time
  std::chrono::milliseconds longest_pause{30'000};
  std::chrono::seconds longest_wait{900};  // that a host may ask for, else it is given up
  std::chrono::seconds connect{20};
  std::chrono::seconds stall{30};                        // with next to no bytes
  int64_t piece_bytes = int64_t{64} << 20;               // of a large file, fetched at a time
  std::function<bool()> stopped = [] { return false; };  // from any thread; true ends everything
};

struct GetRequest {
  std::string url = {};
  std::string token = {};               // for the host of `url` alone; empty: none
  std::optional<ByteRange> range = {};  // else all of it
  std::string if_range = {};            // the entity tag that the range has to be of; empty: any
};

// What stands before the body, after all redirects.
struct GetResponse {
  int status = 0;
  std::optional<int64_t> length = {};  // of the body, where it was announced
  std::string content_range = {};
  std::string etag = {};
  std::string link = {};
  std::string error_code = {};   // X-Error-Code
  std::string linked_etag = {};  // X-Linked-Etag, of any of the answers, without quotes
};

struct GetFailure {
  Error error = {};
  bool transient = false;        // another attempt may do
  bool unreachable = false;      // no connection came about
  GetResponse response = {};     // status 0 where there was none
  std::chrono::seconds wait{0};  // that the host asks for before the next attempt
};

// For one thread; it keeps the connection for the next request.
class HostConnection {
 public:
  explicit HostConnection(const TransferOptions& options);

  struct Receiver {
    // Called before the first byte of a body, and for an empty one, when the status is 2xx. An
    // error ends the request, and is its error.
    std::function<Status(const GetResponse&)> start;
    std::function<Status(std::span<const std::byte>)> bytes;
  };
  // Fails for every status but 2xx.
  tl::expected<GetResponse, GetFailure> Get(const GetRequest& request, const Receiver& receiver);
  // The body as a whole, of at most `most` bytes; with more attempts where one may do.
  tl::expected<std::pair<GetResponse, std::string>, GetFailure> GetText(const GetRequest& request,
                                                                        size_t most);

 private:
  struct Transfer;
  void SetUp(const GetRequest& request, Transfer& transfer);
  GetFailure Explain(CURLcode code, const Transfer& transfer);

  const TransferOptions& options_;
  CurlHandle curl_;
};

// Counts the attempts at one request, and waits between them.
class Retries {
 public:
  explicit Retries(const TransferOptions& options) : options_(options) {}

  // Waits before the next attempt; the error of `failure` where there should be none.
  Status Wait(const GetFailure& failure);
  // The last attempt gained something: they are counted anew.
  void Reset() { failed_ = 0; }

 private:
  const TransferOptions& options_;
  int failed_ = 0;
  std::minstd_rand random_{std::random_device()()};
};

// "https://host:8443" of an address; the address where it has no such form.
std::string OriginOf(const std::string& url);

}  // namespace fulmen
