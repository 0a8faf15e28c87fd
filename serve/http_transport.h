// The bytes of a connection, in the clear or over TLS.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace boost::asio::ssl {
class context;
}  // namespace boost::asio::ssl

namespace fulmen {

// One read and one write may be under way at a time. What goes wrong with a connection is that it
// has ended, whatever the reason.
class HttpTransport {
 public:
  virtual ~HttpTransport() = default;

  // First of all. False: it is no good.
  virtual boost::asio::awaitable<bool> Open() = 0;
  // Appends what has come. False: nothing will come any more.
  virtual boost::asio::awaitable<bool> ReadSome(std::string& into) = 0;
  // How many bytes were taken; 0: none will be.
  virtual boost::asio::awaitable<size_t> WriteSome(std::string_view bytes) = 0;
  // Tells the client that nothing more will come. It can still be read from.
  virtual boost::asio::awaitable<void> EndWriting() = 0;

  // Ends all that is under way. `reset`: what was written and has not been sent is dropped.
  void Close(bool reset);

  std::string peer() const { return peer_; }  // address and port
  std::string local_address() const { return local_address_; }
  boost::asio::any_io_executor executor() { return socket().get_executor(); }

 protected:
  virtual boost::asio::ip::tcp::socket& socket() = 0;
  // Whoever takes nothing for so long has gone.
  void SetUp(double write_seconds);

 private:
  std::string peer_;
  std::string local_address_;
};

std::unique_ptr<HttpTransport> PlainTransport(boost::asio::ip::tcp::socket socket,
                                              double write_seconds);
// The context must outlive it.
std::unique_ptr<HttpTransport> TlsTransport(boost::asio::ip::tcp::socket socket,
                                            boost::asio::ssl::context& context,
                                            double write_seconds);

// Of a server, TLS 1.2 and later. Both are files in PEM format.
Result<std::shared_ptr<boost::asio::ssl::context>> LoadTlsContext(const std::string& certificate,
                                                                  const std::string& key);

}  // namespace fulmen
