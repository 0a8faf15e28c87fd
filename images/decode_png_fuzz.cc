// libFuzzer target: any bytes as a PNG file.
#include "images/testing/check_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fulmen::testing::CheckDecoder(&fulmen::DecodePng, data, size);
  return 0;
}
