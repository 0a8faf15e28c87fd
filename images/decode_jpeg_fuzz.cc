// libFuzzer target: any bytes as a JPEG file.
#include "images/testing/check_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fulmen::testing::CheckDecoder(&fulmen::DecodeJpeg, data, size);
  return 0;
}
