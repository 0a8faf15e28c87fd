#include "serve/service.h"

#include <openssl/sha.h>

#include <array>

#include "serve/http_server.h"

namespace fulmen {

std::string SpaceOf(const Service& service, const HttpRequest& request) {
  if (!service.has_keys) return "";
  const std::string_view key = ApiKeyOf(request);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  constexpr size_t kBytes = 12;  // enough to tell keys apart, and no way back to the key
  std::string space = "key-";
  for (size_t i = 0; i < kBytes; ++i) space += fmt::format("{:02x}", digest[i]);
  return space;
}

boost::asio::awaitable<void> AnswerCall(Service& service, Exchange& exchange,
                                        std::unique_ptr<ApiCall> call, Answering::Keep keep) {
  const std::string_view session = exchange.request().Header("session");
  if (!session.empty()) {
    for (Generation& generation : call->generations()) generation.session = session;
  }
  std::string space = SpaceOf(service, exchange.request());
  co_await service.answering.Answer(exchange, std::move(call), std::move(space), std::move(keep));
}

}  // namespace fulmen
