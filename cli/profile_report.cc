#include "cli/profile_report.h"

#include "base/console.h"

namespace fulmen {
namespace {

// What is called between operations, and whatever else the work consisted of.
constexpr const char* kBetween = "between operations";

double SecondsBetween(const ProfileReport& report) {
  double seconds = report.seconds;
  for (const OperationCost& cost : report.costs) seconds -= cost.seconds;
  return seconds;
}

// Nothing where either was not counted.
std::optional<double> Share(double amount, double seconds, double most) {
  if (amount == 0 || most == 0) return std::nullopt;
  return amount / seconds / most;
}

}  // namespace

void PrintProfile(const ProfileReport& report, const std::string& title, const std::string& unit,
                  const std::string& arithmetic) {
  const auto units = static_cast<double>(report.units);
  const auto percent = [](std::optional<double> share) {
    return share ? fmt::format("{:.1f} %", 100 * *share) : "-";
  };
  Print("\n{}\n{:<44} {:>7} {:>10} {:>8} {:>12} {:>12}\n", title, "operation", "calls",
        "ms a " + unit, "of time", "of " + arithmetic, "of bandwidth");
  const auto line = [&](const std::string& name, double calls, double seconds, double flops,
                        double bytes) {
    Print("{:<44} {:>7.0f} {:>10.3f} {:>8} {:>12} {:>12}\n", name, calls / units,
          1e3 * seconds / units, percent(seconds / report.seconds),
          percent(Share(flops, seconds, report.peak)),
          percent(Share(bytes, seconds, report.read_bandwidth)));
  };
  for (const OperationCost& cost : report.costs) {
    line(cost.name, static_cast<double>(cost.calls), cost.seconds, cost.flops, cost.bytes);
  }
  line(kBetween, 0, SecondsBetween(report), 0, 0);
}

Json ToJson(const ProfileReport& report) {
  Json operations = Json::array();
  const auto number = [](std::optional<double> share) {
    return share ? Json(*share) : Json(nullptr);
  };
  for (const OperationCost& cost : report.costs) {
    operations.push_back(
        {{"operation", cost.name},
         {"calls", cost.calls},
         {"seconds", cost.seconds},
         {"share_of_time", cost.seconds / report.seconds},
         {"share_of_peak", number(Share(cost.flops, cost.seconds, report.peak))},
         {"share_of_bandwidth", number(Share(cost.bytes, cost.seconds, report.read_bandwidth))}});
  }
  return {{"units", report.units},
          {"seconds", report.seconds},
          {"seconds_between_operations", SecondsBetween(report)},
          {"operations", operations}};
}

}  // namespace fulmen
