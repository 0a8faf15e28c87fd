#include "accounts/postgres_listener.h"

#include <chrono>
#include <memory>
#include <pqxx/pqxx>
#include <utility>

#include "accounts/postgres_connection.h"

namespace fulmen {
namespace {

constexpr long kHalfSecond = 500'000;  // in microseconds

// What it waits for is that it returns.
class Receiver : public pqxx::notification_receiver {
 public:
  explicit Receiver(pqxx::connection& connection)
      : notification_receiver(connection, kKeyChannel) {}
  void operator()(const std::string& /*payload*/, int /*sender*/) override {}
};

struct Listening {
  explicit Listening(const std::string& database) : connection(database), receiver(connection) {}
  pqxx::connection connection;
  Receiver receiver;
};

}  // namespace

PostgresListener::PostgresListener(const std::string& database, std::function<void()> wake)
    : database_(WithTimeouts(database)), wake_(std::move(wake)), thread_([this] { Work(); }) {}

PostgresListener::~PostgresListener() {
  closing_ = true;
  thread_.join();
}

void PostgresListener::Work() {
  std::unique_ptr<Listening> listening;
  while (!closing_) {
    try {
      if (listening == nullptr) listening = std::make_unique<Listening>(database_);
      wake_();  // after it listens, so that nothing falls in between
      listening->connection.await_notification(0, kHalfSecond);
    } catch (const std::exception&) {
      listening.reset();
      wake_();
      std::this_thread::sleep_for(std::chrono::microseconds(kHalfSecond));
    }
  }
}

}  // namespace fulmen
