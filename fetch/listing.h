// What a host of Hugging Face's shape answers about a model: parsers of its JSON and headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "fetch/checksum.h"

namespace fulmen {

struct RemoteFile {
  std::string path;  // as the host spells it: not checked, see CheckFileName
  int64_t size = 0;  // bytes
  Checksum checksum;
};

// The commit that the answer to /api/models/OWNER/NAME/revision/REVISION names: 40 digits of
// hexadecimal. `where` names the answer in errors.
Result<std::string> ParseCommit(std::string_view text, const std::string& where);

// Appends the files of one page of /api/models/OWNER/NAME/tree/COMMIT.
Status ParseTreePage(std::string_view text, const std::string& where,
                     std::vector<RemoteFile>& files);

// The first thousand names, OWNER/NAME, that the answer to /api/models?author=OWNER lists; what is
// no such list has none.
std::vector<std::string> ParseModelNames(std::string_view text);

// The query ("cursor=…") of the address that a Link header calls the next page; empty where there
// is none. Only the query is taken: the host a listing comes from is not for the listing to say.
std::string NextPageQuery(std::string_view link);

}  // namespace fulmen
