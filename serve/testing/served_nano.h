// The embedded model, served, for tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/model_identity.h"
#include "engine/testing/nano.h"
#include "serve/served_model.h"

namespace fulmen::testing {

inline Json Message(const char* role, const std::string& text) {
  return {{"role", role}, {"content", text}};
}

struct ServedNano {
  explicit ServedNano(ServedModel::Options options = {}) {
    const std::string& chat_template = NanoTokenizer().chat_template();
    if (!options.format) options.format = ValueOrDie(DetectChatFormat(chat_template));
    if (options.name.empty()) options.name = "nano";
    options.engine.memory.poison = true;
    options.engine.model_identity = ModelIdentity(NanoModel());
    served = std::make_unique<ServedModel>(NanoModel(), ValueOrDie(Tokenizer::Load(NanoFolder())),
                                           Compute(*ValueOrDie(SelectKernels("cpu")), context),
                                           std::move(options));
  }

  ThreadPool pool{1};
  Workspace scratch{/*poison=*/true};
  KernelContext context{pool, scratch};
  std::unique_ptr<ServedModel> served;
};

}  // namespace fulmen::testing
