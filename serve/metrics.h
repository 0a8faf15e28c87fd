// What operators watch, in Prometheus' text format: vLLM's names under "fulmen:", so that boards
// made for it need one word changed.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"
#include "serve/http_server.h"
#include "serve/served_model.h"

namespace fulmen {

// Thread safe. The models must outlive it.
class Metrics {
 public:
  explicit Metrics(const std::vector<std::unique_ptr<ServedModel>>& models);

  // An answer of this model has ended, and a request with all its answers.
  void CountAnswer(const ServedModel& model, FinishReason reason);
  void CountRequest(const ServedModel& model, const RequestDone& done);
  void CountExchange(const HttpRecord& record);

  // All of it, as it is now.
  std::string Text() const;

 private:
  // Times of one model's requests, in seconds.
  struct Times {
    prometheus::Histogram* first_token;
    prometheus::Histogram* per_token;
    prometheus::Histogram* whole;
    prometheus::Histogram* queue;
    prometheus::Histogram* prefill;
    prometheus::Histogram* decode;
  };
  const std::vector<std::unique_ptr<ServedModel>>& models_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& answers_;
  prometheus::Family<prometheus::Counter>& exchanges_;
  std::map<const ServedModel*, Times> times_;
};

}  // namespace fulmen
