// libcurl as this project uses it: one request at a time, errors as values, nothing thrown through
// C.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"

namespace fulmen {

bool IsUnreachable(CURLcode code);  // no connection came about
// Another attempt may do. A name that has no address is none of these.
bool IsTransient(CURLcode code);

// For one thread; it keeps the connection for the next request. Const as a pointer is: what it
// stands for may change.
class CurlHandle {
 public:
  CurlHandle();

  CURL* get() const { return handle_.get(); }
  void Reset() const { curl_easy_reset(get()); }

  template <class Value>
  void Set(CURLoption option, Value value) const {
    const CURLcode code = curl_easy_setopt(get(), option, value);
    FULMEN_CHECK(code == CURLE_OK, "option {}: {}", static_cast<int>(option),
                 curl_easy_strerror(code));
  }
  void SetNumber(CURLoption option, int64_t value) const {
    Set(option, static_cast<decltype(0L)>(value));  // the type of all its options that are numbers
  }

 private:
  struct Closer {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  std::unique_ptr<CURL, Closer> handle_;
};

// What comes of one request. Whatever ends it early, by an error or by an exception, is its status.
class CurlTransfer {
 public:
  CurlTransfer() = default;
  virtual ~CurlTransfer() = default;
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  // `handle` calls this from now on, until it is reset.
  void Attach(const CurlHandle& handle);

  const Status& status() const { return status_; }
  // What went wrong, in libcurl's words.
  std::string Detail(CURLcode code) const;

 protected:
  virtual void TakeHeader(std::string_view line) = 0;
  virtual Status TakeBytes(std::string_view bytes) = 0;
  virtual bool Stopped() const = 0;

  // Runs what may fail or throw; false ends the transfer.
  template <class Call>
  bool Guard(Call call) {
    if (!status_) return false;
    try {
      status_ = call();
    } catch (const std::exception& error) {
      status_ = Fail(ErrorCode::kIo, "{}", error.what());
    }
    return status_.has_value();
  }

 private:
  static size_t OnHeader(char* data, size_t, size_t size, void* self);
  static size_t OnBytes(char* data, size_t, size_t size, void* self);
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);

  Status status_;
  size_t header_bytes_ = 0;
  std::array<char, CURL_ERROR_SIZE> detail_ = {};
};

}  // namespace fulmen
