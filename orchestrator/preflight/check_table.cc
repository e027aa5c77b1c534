#include "orchestrator/preflight/check_table.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/exit_codes.h"

namespace sluice {
namespace {

constexpr size_t kMostNames = 4;  // of hosts in one row

std::string Mark(Outcome outcome) {
  switch (outcome) {
    case Outcome::kFailed:
      return "FAILED";
    case Outcome::kRemark:
      return "remark";
    case Outcome::kPassed:
      break;
  }
  return "ok";
}

std::string Where(const CheckRow& row, int hosts) {
  const size_t count = row.where.size();
  if (count > 1 && static_cast<int>(count) == hosts) return absl::StrCat("all ", hosts, " hosts");
  if (count <= kMostNames) return absl::StrJoin(row.where, ", ");
  return absl::StrCat(absl::StrJoin(row.where.begin(), row.where.begin() + kMostNames, ", "),
                      " and ", count - kMostNames, " more");
}

std::string Padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

}  // namespace

const char* ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kFailed:
      return "failed";
    case Outcome::kRemark:
      return "remark";
    case Outcome::kPassed:
      break;
  }
  return "passed";
}

std::vector<CheckRow> WorstFirst(std::vector<CheckRow> rows) {
  std::vector<CheckRow> joined;
  for (CheckRow& row : rows) {
    const auto key = [](const CheckRow& one) {
      return std::tie(one.outcome, one.check, one.what, one.advice, one.exit_code);
    };
    const auto same = std::find_if(joined.begin(), joined.end(),
                                   [&](const CheckRow& one) { return key(one) == key(row); });
    if (same == joined.end()) {
      joined.push_back(std::move(row));
    } else {
      same->where.insert(same->where.end(), row.where.begin(), row.where.end());
    }
  }
  std::stable_sort(joined.begin(), joined.end(),
                   [](const CheckRow& a, const CheckRow& b) { return a.outcome < b.outcome; });
  return joined;
}

std::string TableText(const std::vector<CheckRow>& rows, int hosts) {
  size_t check_width = 0, where_width = 0;
  for (const CheckRow& row : rows) {
    check_width = std::max(check_width, row.check.size());
    where_width = std::max(where_width, Where(row, hosts).size());
  }
  std::string text;
  int failed = 0, remarks = 0;
  for (const CheckRow& row : rows) {
    failed += row.outcome == Outcome::kFailed;
    remarks += row.outcome == Outcome::kRemark;
    absl::StrAppend(&text, Padded(Mark(row.outcome), 6), "  ", Padded(row.check, check_width), "  ",
                    Padded(Where(row, hosts), where_width), "  ", row.what, "\n");
    if (!row.advice.empty()) {
      absl::StrAppend(&text, std::string(check_width + where_width + 12, ' '), row.advice, "\n");
    }
  }
  absl::StrAppend(&text, hosts, hosts == 1 ? " host, " : " hosts, ");
  if (failed == 0) {
    absl::StrAppend(&text, "all passed");
  } else {
    absl::StrAppend(&text, failed, failed == 1 ? " check failed" : " checks failed");
  }
  if (remarks > 0) absl::StrAppend(&text, ", ", remarks, remarks == 1 ? " remark" : " remarks");
  return text + "\n";
}

int ExitCodeOf(const std::vector<CheckRow>& rows) {
  for (int code : {kExitUnreachable, kExitPermission, kExitConfig, kExitStorage}) {
    for (const CheckRow& row : rows) {
      if (row.outcome == Outcome::kFailed && row.exit_code == code) return code;
    }
  }
  const bool failed = std::any_of(rows.begin(), rows.end(), [](const CheckRow& row) {
    return row.outcome == Outcome::kFailed;
  });
  return failed ? kExitConfig : kExitOk;
}

}  // namespace sluice
