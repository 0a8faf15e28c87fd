#include "cli/serve_log.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/console.h"
#include "base/json.h"
#include "base/rfc3339.h"

namespace fulmen {
namespace {

// Of pointers into a schema, the keywords: names of properties are what was asked.
std::string KeywordsOf(const std::string& pointers) {
  std::set<std::string> keywords;
  for (size_t begin = 0; begin < pointers.size();) {
    const size_t end = std::min(pointers.find(", ", begin), pointers.size());
    const std::string pointer = pointers.substr(begin, end - begin);
    keywords.insert(pointer.substr(pointer.rfind('/') + 1));
    begin = end + 2;
  }
  return fmt::format("{}", fmt::join(keywords, " "));
}

}  // namespace

void LogExchange(const std::string& format, const HttpRecord& record) {
  const std::string time = Rfc3339(SecondsNow());
  const std::string route = record.route.empty() ? "-" : record.route;
  if (format == "text") {
    Say("{} {} {} {} {:.3f} s, {} bytes in, {} out, {} {}{}{}\n", time, record.status,
        record.method.empty() ? "-" : record.method, route, record.seconds, record.received,
        record.sent, record.peer, record.id, record.whole ? "" : ", cut off",
        record.left_out.empty() ? "" : ", left out of the schema: " + KeywordsOf(record.left_out));
    return;
  }
  const Json line = {{"time", time},
                     {"id", record.id},
                     {"peer", record.peer},
                     {"method", record.method},
                     {"route", record.route},
                     {"status", record.status},
                     {"whole", record.whole},
                     {"seconds", record.seconds},
                     {"received", record.received},
                     {"sent", record.sent},
                     {"left_out", KeywordsOf(record.left_out)}};
  Say("{}\n", DumpJson(line));
}

}  // namespace fulmen
