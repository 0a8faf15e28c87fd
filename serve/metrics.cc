#include "serve/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace fulmen {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// vLLM's, so that quantiles of both can be compared.
const prometheus::Histogram::BucketBoundaries kFirstToken = {
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
    1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
const prometheus::Histogram::BucketBoundaries kPerToken = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                                           0.3,  0.4,   0.5,  0.75,  1.0, 2.5,  5.0,
                                                           7.5,  10.0,  20.0, 40.0,  80.0};
const prometheus::Histogram::BucketBoundaries kWhole = {
    0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
    30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};

// One number of each model, or several with a label between them.
struct EngineValue {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const ServedModel& model, const EngineStats& stats);
};

double Share(int64_t used, int64_t most) {
  return most == 0 ? 0 : static_cast<double>(used) / static_cast<double>(most);
}

constexpr std::array<EngineValue, 18> kValues = {{
    {"fulmen:num_requests_running", "Answers under way", MetricType::Gauge,
     [](const ServedModel&, const EngineStats& s) { return double(s.running); }},
    {"fulmen:num_requests_waiting", "Answers that wait to start", MetricType::Gauge,
     [](const ServedModel&, const EngineStats& s) { return double(s.waiting); }},
    {"fulmen:kv_cache_usage_perc", "Share of the memory for keys and values in use, 0 to 1",
     MetricType::Gauge,
     [](const ServedModel& m, const EngineStats& s) {
       return Share(s.page_bytes, m.memory().most_page_bytes);
     }},
    {"fulmen:state_cache_usage_perc", "The same of the memory for lightning states",
     MetricType::Gauge,
     [](const ServedModel& m, const EngineStats& s) {
       return Share(s.state_bytes, m.memory().most_slot_bytes);
     }},
    {"fulmen:prompt_tokens_total", "Tokens of prompts", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.prompt_tokens); }},
    {"fulmen:generation_tokens_total", "Tokens of answers", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.output_tokens); }},
    {"fulmen:prefix_cache_queries_total", "Tokens looked up in the prefix cache",
     MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.prompt_tokens); }},
    {"fulmen:prefix_cache_hits_total", "Tokens found there", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.cached_tokens); }},
    {"fulmen:num_preemptions_total", "Answers put aside for want of memory", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.suspensions); }},
    {"fulmen:image_tiles_total", "Tiles of images that the vision tower has seen",
     MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.image_tiles); }},
    {"fulmen:engine_steps_total", "Passes over the weights", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.steps); }},
    {"fulmen:snapshots", "States in the prefix cache", MetricType::Gauge,
     [](const ServedModel&, const EngineStats& s) { return double(s.snapshots); }},
    {"fulmen:snapshot_evictions_total", "States that had to make room", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.evictions); }},
    {"fulmen:spill_bytes", "States and pages on disk", MetricType::Gauge,
     [](const ServedModel&, const EngineStats& s) { return double(s.spill.bytes); }},
    {"fulmen:spill_loads_total", "States that came back from disk", MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.spill.loaded); }},
    {"fulmen:spill_refused_total",
     "States that were not written, for want of room or because the disk failed",
     MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.spill.refused); }},
    {"fulmen:spill_damaged_total", "Files removed because they are not what was written",
     MetricType::Counter,
     [](const ServedModel&, const EngineStats& s) { return double(s.spill.damaged); }},
    {"fulmen:seconds_since_step",
     "Time since a step began, while answers are under way: one that grows is stuck",
     MetricType::Gauge,
     [](const ServedModel&, const EngineStats& s) {
       return s.running == 0 ? 0 : SteadySeconds() - s.stepped;
     }},
}};

ClientMetric::Label Label(std::string name, std::string value) {
  return {std::move(name), std::move(value)};
}

ClientMetric OfModel(const ServedModel& model, MetricType type, double value) {
  ClientMetric metric;
  metric.label = {Label("model_name", model.name())};
  (type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
  return metric;
}

MetricFamily Family(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

std::vector<MetricFamily> EngineFamilies(const std::vector<std::unique_ptr<ServedModel>>& models) {
  std::vector<EngineStats> stats;
  for (const auto& model : models) stats.push_back(model->engine().stats());
  std::vector<MetricFamily> families;
  for (const EngineValue& value : kValues) {
    MetricFamily family = Family(value.name, value.help, value.type);
    for (size_t i = 0; i < models.size(); ++i) {
      family.metric.push_back(OfModel(*models[i], value.type, value.value(*models[i], stats[i])));
    }
    families.push_back(std::move(family));
  }
  MetricFamily misses = Family("fulmen:prefix_cache_lookups_total",
                               "Lookups in the prefix cache by what was missed: nothing, a prefix "
                               "that is new, one between snapshots, one that was evicted",
                               MetricType::Counter);
  for (size_t i = 0; i < models.size(); ++i) {
    for (size_t cause = 0; cause < stats[i].misses.size(); ++cause) {
      ClientMetric metric =
          OfModel(*models[i], MetricType::Counter, static_cast<double>(stats[i].misses[cause]));
      metric.label.push_back(
          Label("missed", std::string(MissCauseName(static_cast<MissCause>(cause)))));
      misses.metric.push_back(std::move(metric));
    }
  }
  families.push_back(std::move(misses));
  return families;
}

}  // namespace

Metrics::Metrics(const std::vector<std::unique_ptr<ServedModel>>& models)
    : models_(models),
      answers_(prometheus::BuildCounter()
                   .Name("fulmen:request_success_total")
                   .Help("Answers that ended, by reason")
                   .Register(registry_)),
      exchanges_(prometheus::BuildCounter()
                     .Name("http_requests_total")
                     .Help("Requests by route, method and status")
                     .Register(registry_)) {
  const auto family = [this](const char* name, const char* help) -> auto& {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
  };
  auto& first = family("fulmen:time_to_first_token_seconds", "From a request to its first token");
  auto& token = family("fulmen:inter_token_latency_seconds", "Between tokens, on average");
  auto& whole = family("fulmen:e2e_request_latency_seconds", "From a request to its last token");
  auto& queue = family("fulmen:request_queue_time_seconds", "Of it, before reading began");
  auto& prefill = family("fulmen:request_prefill_time_seconds", "Of it, for reading the prompt");
  auto& decode = family("fulmen:request_decode_time_seconds", "Of it, from the first token on");
  for (const auto& model : models_) {
    const prometheus::Labels labels = {{"model_name", model->name()}};
    times_[model.get()] = {&first.Add(labels, kFirstToken), &token.Add(labels, kPerToken),
                           &whole.Add(labels, kWhole),      &queue.Add(labels, kWhole),
                           &prefill.Add(labels, kWhole),    &decode.Add(labels, kWhole)};
  }
}

void Metrics::CountAnswer(const ServedModel& model, FinishReason reason) {
  answers_
      .Add({{"model_name", model.name()},
            {"finished_reason", std::string(FinishReasonName(reason))}})
      .Increment();
}

void Metrics::CountRequest(const ServedModel& model, const RequestDone& done) {
  const Times& times = times_.at(&model);
  const Timings& took = done.timings;
  const double first = took.queue_seconds + took.prompt_seconds;
  times.queue->Observe(took.queue_seconds);
  times.prefill->Observe(took.prompt_seconds);
  times.decode->Observe(took.decode_seconds);
  times.whole->Observe(first + took.decode_seconds);
  if (done.usage.output_tokens > 0) times.first_token->Observe(first);
  if (done.usage.output_tokens > 1) {
    times.per_token->Observe(took.decode_seconds /
                             static_cast<double>(done.usage.output_tokens - 1));
  }
}

void Metrics::CountExchange(const HttpRecord& record) {
  exchanges_
      .Add({{"handler", record.route},
            // What is no route of ours may have any method, and labels should be few.
            {"method", record.route.empty() ? "" : record.method},
            {"status", fmt::format("{}", record.status)}})
      .Increment();
}

std::string Metrics::Text() const {
  std::vector<MetricFamily> families = registry_.Collect();
  std::ranges::move(EngineFamilies(models_), std::back_inserter(families));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace fulmen
