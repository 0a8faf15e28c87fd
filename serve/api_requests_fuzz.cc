// libFuzzer target: any bytes as the body of a request, and as the arguments of a call that was cut
// short. What is read has messages, what is refused a sentence.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "serve/anthropic_messages.h"
#include "serve/cut_json.h"
#include "serve/openai_responses.h"

namespace {

template <class T>
void CheckRead(const fulmen::ApiResult<T>& read) {
  FULMEN_CHECK(read || !read.error().message.empty(), "an error without a message");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  FULMEN_CHECK(fulmen::WholePartsOf(text).is_object(), "arguments are an object");
  const auto body = fulmen::ParseJson(text, "body");
  if (!body) return 0;
  CheckRead(fulmen::ParseAnthropicMessages(*body));
  CheckRead(fulmen::ParseAnthropicCount(*body));
  CheckRead(fulmen::ReferencesOf(*body));
  CheckRead(fulmen::ParseOpenAiResponses(*body));
  return 0;
}
