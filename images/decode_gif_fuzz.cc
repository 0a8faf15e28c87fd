// libFuzzer target: any bytes as a GIF file.
#include "images/testing/check_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fulmen::testing::CheckDecoder(&fulmen::DecodeGif, data, size);
  return 0;
}
