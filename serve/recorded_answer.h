// An answer that is kept while it is made, so that several may read it, and who comes late too.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "accounts/kept_answer.h"
#include "serve/http.h"

namespace fulmen {

// Of the I/O thread; in shared pointers.
class RecordedAnswer {
 public:
  RecordedAnswer(const boost::asio::any_io_executor& io, AnswerName name)
      : io_(io), name_(std::move(name)) {}

  const AnswerName& name() const { return name_; }
  bool has_begun() const { return has_begun_; }

  // What is written.
  void Begin(HttpResponse head, bool streams);
  void Append(std::string_view piece);
  void End();
  // What is written is the answer to what was asked, and no error: who asks again may have it.
  void MarkGood() { is_good_ = true; }
  bool is_good() const { return is_good_; }
  // The whole of it, once `rest` has been written, too.
  KeptAnswer Whole(std::string_view rest) const;

  // Sends it to a client, all of it, as it comes. A stream gets a comment after so long a silence.
  boost::asio::awaitable<void> SendTo(Exchange& client, std::chrono::seconds sign_of_life);

  // Who writes it is told to stop.
  void OnStop(std::function<void()> stop) {
    stop_ = std::move(stop);
    if (stopped_ && stop_) stop_();
  }
  void Stop() {
    stopped_ = true;
    if (stop_) stop_();
  }
  bool was_stopped() const { return stopped_; }

 private:
  class Waiting;
  void Wake();

  const boost::asio::any_io_executor io_;
  const AnswerName name_;
  HttpResponse head_;
  bool has_begun_ = false;
  bool streams_ = false;
  bool has_ended_ = false;
  bool is_good_ = false;
  bool stopped_ = false;
  std::set<boost::asio::steady_timer*> waiting_;
  std::function<void()> stop_;
};

// The exchange of who makes it: nobody leaves it but by Stop().
class RecordingExchange : public Exchange {
 public:
  RecordingExchange(HttpRequest request, std::shared_ptr<RecordedAnswer> record)
      : Exchange(std::move(request)), record_(std::move(record)) {}

  boost::asio::awaitable<void> Respond(HttpResponse response) override;
  boost::asio::awaitable<bool> BeginStream(HttpResponse head) override;
  boost::asio::awaitable<bool> Write(std::string_view piece) override;
  boost::asio::awaitable<void> EndStream() override;
  boost::asio::awaitable<bool> Interim(int) override { co_return true; }
  void OnLeave(std::function<void()> leave) override { record_->OnStop(std::move(leave)); }
  RecordedAnswer* record() override { return record_.get(); }

 private:
  std::shared_ptr<RecordedAnswer> record_;
};

// An answer of before, as it was.
HttpResponse ResponseOf(const KeptAnswer& kept);

}  // namespace fulmen
