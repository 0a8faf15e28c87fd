// A model that a server answers with: its engine, on a thread of its own, and what it takes to make
// prompts for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/image_reader.h"
#include "kernels/compute.h"
#include "model/weights.h"
#include "serve/grammar_cache.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Answers that come from a file instead of the model, for tests of clients.
class Script;

// Thread safe but for construction.
class ServedModel {
 public:
  struct Options {
    std::string name;
    std::vector<std::string> aliases;
    std::optional<ChatFormat> format;   // of its chats; none: prompts are continued as they are
    std::optional<int64_t> max_tokens;  // where a request does not say; nullopt: all of the context
    EngineOptions engine;
    std::shared_ptr<const Script> script;
    std::shared_ptr<const ImageReader> images;  // of a model that reads them, else null
  };
  // `model` and what `compute` refers to must outlive it. The engine runs from here on.
  ServedModel(const Model& model, Tokenizer tokenizer, const Compute& compute, Options options);
  ~ServedModel();
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  // Ends the engine's thread: nobody hears of an answer any more.
  void Stop();

  const std::string& name() const { return options_.name; }
  const std::vector<std::string>& aliases() const { return options_.aliases; }
  bool HasName(std::string_view name) const;
  const Model& model() const { return model_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  std::optional<ChatFormat> format() const { return options_.format; }
  const AnswerDefaults& defaults() const { return defaults_; }
  std::optional<int64_t> max_tokens() const { return options_.max_tokens; }
  // Tokens of the longest sequence.
  int64_t context() const { return engine_.max_position(); }
  // Tells it from all other models (ModelIdentity).
  const std::string& identity() const { return options_.engine.model_identity; }
  const StatePool::Options& memory() const { return options_.engine.memory; }
  int64_t created() const { return created_; }  // seconds since 1970
  const std::shared_ptr<const ImageReader>& images() const { return options_.images; }
  const Script* script() const { return options_.script.get(); }
  GrammarCache& grammars() { return grammars_; }
  Engine& engine() { return engine_; }
  const Engine& engine() const { return engine_; }

 private:
  const Model& model_;
  const Tokenizer tokenizer_;
  const Options options_;
  const AnswerDefaults defaults_;
  const int64_t created_;
  GrammarCache grammars_;
  Engine engine_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fulmen
