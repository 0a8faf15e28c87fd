#include "fetch/curl_handle.h"

#include <algorithm>

namespace fulmen {
namespace {

constexpr size_t kMostHeaderBytes = size_t{1} << 18;

}  // namespace

bool IsUnreachable(CURLcode code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
         code == CURLE_COULDNT_CONNECT;
}

bool IsTransient(CURLcode code) {
  constexpr std::array kCodes = {
      CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT, CURLE_PARTIAL_FILE,
      CURLE_GOT_NOTHING,     CURLE_RECV_ERROR,         CURLE_SEND_ERROR,
      CURLE_HTTP2,           CURLE_HTTP2_STREAM,       CURLE_SSL_CONNECT_ERROR};
  return std::ranges::find(kCodes, code) != kCodes.end();
}

CurlHandle::CurlHandle() {
  // The handles share nothing but what this sets up, once and for all threads.
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  FULMEN_CHECK(done == CURLE_OK, "{}", curl_easy_strerror(done));
  handle_.reset(curl_easy_init());
  FULMEN_CHECK(handle_ != nullptr, "libcurl gives no handle");
}

void CurlTransfer::Attach(const CurlHandle& handle) {
  handle.Set(CURLOPT_ERRORBUFFER, detail_.data());
  handle.Set(CURLOPT_HEADERFUNCTION, &OnHeader);
  handle.Set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  handle.Set(CURLOPT_WRITEFUNCTION, &OnBytes);
  handle.Set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  handle.SetNumber(CURLOPT_NOPROGRESS, 0);
  handle.Set(CURLOPT_XFERINFOFUNCTION, &OnProgress);
  handle.Set(CURLOPT_XFERINFODATA, static_cast<void*>(this));
}

std::string CurlTransfer::Detail(CURLcode code) const {
  const std::string detail = detail_.data();
  return detail.empty() ? curl_easy_strerror(code) : detail;
}

size_t CurlTransfer::OnHeader(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const bool go_on = transfer.Guard([&]() -> Status {
    transfer.header_bytes_ += size;
    if (transfer.header_bytes_ > kMostHeaderBytes) {
      return Fail(ErrorCode::kCorrupt, "the answer's headers do not end");
    }
    transfer.TakeHeader({data, size});
    return {};
  });
  return go_on ? size : 0;
}

size_t CurlTransfer::OnBytes(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  return transfer.Guard([&] { return transfer.TakeBytes({data, size}); }) ? size : 0;
}

int CurlTransfer::OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<CurlTransfer*>(self)->Stopped() ? 1 : 0;
}

}  // namespace fulmen
