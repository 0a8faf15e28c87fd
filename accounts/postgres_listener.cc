#include "accounts/postgres_listener.h"

#include <chrono>
#include <memory>
#include <pqxx/pqxx>
#include <utility>

#include "accounts/postgres_connection.h"

namespace fulmen {
namespace {

constexpr int kPieces = 10;         // of the wait, since nothing else ends it
constexpr int kPieceTime = 50'000;  // in microseconds

// What is waited for is that there was one.
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
      for (int i = 0; i < kPieces && !closing_; ++i) {
        if (listening->connection.await_notification(0, kPieceTime) > 0) break;
      }
    } catch (const std::exception&) {
      listening.reset();
      wake_();
      for (int i = 0; i < kPieces && !closing_; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(kPieceTime));
      }
    }
  }
}

}  // namespace fulmen
