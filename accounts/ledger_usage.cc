// What was used, in sums and in rows.
#include <utility>

#include "accounts/day.h"
#include "accounts/ledger.h"
#include "accounts/organisation.h"
#include "accounts/reservation.h"

namespace fulmen {
namespace {

// Days of every zone start at one of these, so the database sums by them and the rest is done here.
constexpr int64_t kQuarterHour = 900'000'000'000;

constexpr const char* kSums =
    "count(*), CAST(sum(prompt) AS BIGINT), CAST(sum(text) AS BIGINT), "
    "CAST(sum(cached) AS BIGINT), CAST(sum(image) AS BIGINT), CAST(sum(output) AS BIGINT), "
    "CAST(sum(reasoning) AS BIGINT), CAST(sum(charge) AS BIGINT) FROM usage "
    "WHERE organisation = ? AND ended >= ? AND ended < ? GROUP BY 1 ORDER BY ";

TokenCounts ReadTokens(const SqlRow& row, size_t first) {
  return {.prompt = row.Number(first),
          .text = row.Number(first + 1),
          .cached = row.Number(first + 2),
          .image = row.Number(first + 3),
          .output = row.Number(first + 4),
          .reasoning = row.Number(first + 5)};
}

UsageLine ReadLine(std::string name, const SqlRow& row) {
  return {.name = std::move(name),
          .requests = row.Number(1),
          .tokens = ReadTokens(row, 2),
          .charge = {row.Number(8)}};
}

void AddTo(UsageLine& sum, const UsageLine& line) {
  sum.requests += line.requests;
  sum.tokens.prompt += line.tokens.prompt;
  sum.tokens.text += line.tokens.text;
  sum.tokens.cached += line.tokens.cached;
  sum.tokens.image += line.tokens.image;
  sum.tokens.output += line.tokens.output;
  sum.tokens.reasoning += line.tokens.reasoning;
  sum.charge.nanos += line.charge.nanos;
}

std::vector<UsageLine> ByDay(const std::string& zone, const SqlRows& quarters) {
  std::vector<UsageLine> days;
  Day day;
  for (const SqlRow& row : quarters) {
    const int64_t start = row.Number(0) * kQuarterHour;
    if (days.empty() || start >= day.end) {
      day = DayAt(zone, start);
      days.push_back({.name = day.name});
    }
    AddTo(days.back(), ReadLine("", row));
  }
  return days;
}

UsageRow ReadUsageRow(const SqlRow& row) {
  UsageRow read;
  read.request = row.Text(0);
  read.key = row.Text(1);
  read.model = row.Text(2);
  read.started = row.Number(3);
  read.ended = row.Number(4);
  read.outcome = row.Text(5);
  read.tokens = ReadTokens(row, 6);
  read.prices = ReadPrices(row, 12);
  read.charge = {row.Number(16)};
  return read;
}

}  // namespace

Result<std::vector<UsageLine>> Ledger::Usage(const std::string& organisation, UsageGroup group,
                                             int64_t from, int64_t to) {
  using Lines = std::vector<UsageLine>;
  return committer_->Get<Lines>([&](Sql& sql) -> Result<Lines> {
    FULMEN_ASSIGN(const OrganisationInfo found, FindOrganisation(sql, organisation));
    if (group == UsageGroup::kDay) {
      const std::string text = fmt::format("SELECT ended / {}, {}1", kQuarterHour, kSums);
      return ByDay(found.zone, sql.Query(text, organisation, from, to));
    }
    const std::string text =
        fmt::format("SELECT {}, {}9 DESC, 1", group == UsageGroup::kKey ? "key" : "model", kSums);
    Lines lines;
    for (const SqlRow& row : sql.Query(text, organisation, from, to)) {
      lines.push_back(ReadLine(row.Text(0), row));
    }
    return lines;
  });
}

Result<std::vector<UsageRow>> Ledger::Rows(const std::string& organisation, int64_t from,
                                           int64_t to, int64_t limit, const std::string& after) {
  using RowList = std::vector<UsageRow>;
  return committer_->Get<RowList>([&](Sql& sql) -> Result<RowList> {
    FULMEN_TRY(FindOrganisation(sql, organisation));
    int64_t start = from;
    std::string behind;
    if (!after.empty()) {
      const SqlRows last = sql.Query(
          "SELECT ended FROM usage WHERE request = ? AND organisation = ?", after, organisation);
      if (last.empty()) return Fail(ErrorCode::kNotFound, "there is no row of a request {}", after);
      if (last[0].Number(0) >= from) {
        start = last[0].Number(0);
        behind = after;
      }
    }
    const SqlRows found = sql.Query(
        "SELECT request, key, model, started, ended, outcome, prompt, text, cached, image, output, "
        "reasoning, text_price, cached_price, image_price, output_price, charge FROM usage "
        "WHERE organisation = ? AND ended >= ? AND ended < ? AND (ended > ? OR request > ?) "
        "ORDER BY ended, request LIMIT ?",
        organisation, start, to, start, behind, limit);
    RowList rows;
    for (const SqlRow& row : found) rows.push_back(ReadUsageRow(row));
    return rows;
  });
}

}  // namespace fulmen
