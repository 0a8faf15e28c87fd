// libFuzzer target: any bytes as what a host answers, and as what an earlier pull left behind.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "fetch/choose_files.h"
#include "fetch/file_name.h"
#include "fetch/listing.h"
#include "fetch/manifest.h"
#include "fetch/model_reference.h"
#include "fetch/partial_download.h"

namespace fulmen {
namespace {

void Check(std::string_view text) {
  std::vector<RemoteFile> files;
  (void)ParseCommit(text, "commit");
  (void)ParseModelNames(text);
  (void)ParseManifest(text);
  const std::string query = NextPageQuery(text);
  FULMEN_CHECK(query.find('#') == std::string::npos, "a query with a fragment");
  if (ParseTreePage(text, "page", files)) {
    const auto chosen = ChooseFiles(files, {"a", "b", ""}, {.include = {"*"}, .exclude = {}});
    for (const RemoteFile& file : chosen.value_or(std::vector<RemoteFile>())) {
      FULMEN_CHECK(CheckFileName(file.path).has_value() && file.size >= 0, "{}", file.path);
    }
  }
  const RemoteFile file = {"x", 1000, {Checksum::Kind::kGitBlob, std::string(40, '0')}};
  const std::string journal = "fulmen pull 1 1000 " + file.checksum.Text() + "\n";
  const auto parsed = ParseJournal(journal + std::string(text), file, 500);
  FULMEN_CHECK(!parsed || parsed->have.total() <= 500, "bytes that were not written");
  const auto split = ParseSplitName(text);
  FULMEN_CHECK(!split || split->PathOf(split->part) == text, "{}", text);
  const auto reference = ParseModelReference(text);
  FULMEN_CHECK(!reference || CheckFileName(reference->model()), "{}", reference->model());
}

}  // namespace
}  // namespace fulmen

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fulmen::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
