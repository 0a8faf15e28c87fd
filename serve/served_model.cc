#include "serve/served_model.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace fulmen {

ServedModel::ServedModel(const Model& model, Tokenizer tokenizer, const Compute& compute,
                         Options options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      defaults_(DefaultsFor(model.generation, options_.format)),
      created_(SecondsNow()),
      engine_(model_, &tokenizer_, compute, options_.engine),
      thread_([this] {
        pthread_setname_np(pthread_self(), "engine");  // as `top -H` shows it
        engine_.Run();
      }) {}

ServedModel::~ServedModel() { Stop(); }

void ServedModel::Stop() {
  engine_.Stop();
  if (thread_.joinable()) thread_.join();
}

bool ServedModel::HasName(std::string_view name) const {
  return name == options_.name || std::ranges::find(options_.aliases, name) != aliases().end();
}

}  // namespace fulmen
