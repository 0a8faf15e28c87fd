#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/check.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

struct Free {
  void operator()(utf8proc_uint8_t* data) const { std::free(data); }  // as utf8proc allocates
};

void AppendNormalized(std::string_view valid, std::string& out) {
  const bool ascii = std::all_of(valid.begin(), valid.end(),
                                 [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (ascii) {
    out += valid;
    return;
  }
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()),
                   static_cast<utf8proc_ssize_t>(valid.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(mapped);
  FULMEN_CHECK(size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

}  // namespace

std::string NormalizeNfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* end = text.data() + text.size();
  const char* valid = text.data();
  for (const char* p = valid; p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    if (c.kind != Utf8Char::Kind::kValid) {
      AppendNormalized({valid, static_cast<size_t>(p - valid)}, out);
      out.append(p, c.bytes);
      valid = p + c.bytes;
    }
    p += c.bytes;
  }
  AppendNormalized({valid, static_cast<size_t>(end - valid)}, out);
  return out;
}

}  // namespace fulmen
