// Asks a model one question: embedding FOLDER QUESTION.
#include <cstdio>

#include "engine/conversation.h"
#include "formats/model_files.h"

namespace {

fulmen::Status Ask(const char* folder, const char* question) {
  FULMEN_ASSIGN(const auto files, fulmen::ModelFiles::Open(folder));
  FULMEN_ASSIGN(const auto model, fulmen::LoadModel(files));
  FULMEN_ASSIGN(const auto tokenizer, fulmen::Tokenizer::Load(files));
  FULMEN_ASSIGN(const auto format, fulmen::DetectChatFormat(tokenizer.chat_template()));
  FULMEN_ASSIGN(const fulmen::Kernels* kernels, fulmen::SelectKernels("cpu"));
  fulmen::ThreadPool pool;
  fulmen::Workspace scratch;
  fulmen::KernelContext context{pool, scratch};

  fulmen::Engine engine(model, &tokenizer, {*kernels, context});
  fulmen::Conversation conversation(tokenizer, format, "");
  FULMEN_ASSIGN(auto request, conversation.AddUser(question));
  request.max_tokens = 200;
  request.stop_tokens = fulmen::EndTokens(model, &tokenizer, format.has_value());
  fulmen::GenerateHooks hooks;
  hooks.on_piece = [](const fulmen::AnswerPiece& piece) {
    std::fwrite(piece.text.data(), 1, piece.text.size(), stdout);
  };
  FULMEN_TRY(fulmen::Generate(engine, request, hooks));
  std::puts("");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const fulmen::Status asked = Ask(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  if (!asked) std::fprintf(stderr, "%s\n", asked.error().message.c_str());
  return asked ? 0 : 1;
}
