#include "orchestrator/preflight/link_verdicts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/exit_codes.h"

namespace sluice {
namespace {

double Speed(const LinkFacts& link) { return std::min(link.to_a, link.to_b); }

bool Measured(const LinkFacts& link) { return link.error.empty() && Speed(link) > 0; }

std::string Numbers(const LinkFacts& link) {
  return absl::StrFormat("%.3f ms, %.1f MB/s there, %.1f MB/s back",
                         absl::ToDoubleMilliseconds(link.latency), link.to_b / 1e6,
                         link.to_a / 1e6);
}

// What a third of the links reach. Not the median: of three hosts a slow one spoils two of the three links.
double UsualSpeed(std::vector<double> speeds) {
  std::sort(speeds.begin(), speeds.end());
  return speeds.empty() ? 0 : speeds[speeds.size() * 2 / 3];
}

bool OtherWayWorks(const std::vector<LinkFacts>& links, const LinkFacts& link) {
  return std::any_of(links.begin(), links.end(), [&](const LinkFacts& other) {
    return other.a == link.b && other.b == link.a && other.error.empty();
  });
}

}  // namespace

std::vector<CheckRow> JudgeLinks(const std::vector<std::string>& names,
                                 const std::vector<LinkFacts>& links) {
  std::vector<double> speeds;
  for (const LinkFacts& link : links) {
    if (Measured(link)) speeds.push_back(Speed(link));
  }
  const double usual = UsualSpeed(speeds);
  const auto slow = [&](const LinkFacts& link) {
    return Measured(link) && Speed(link) < kSlowLink * usual;
  };
  // A host is to blame if it has several links, and all are slow.
  std::vector<int> links_of(names.size()), slow_of(names.size());
  for (const LinkFacts& link : links) {
    for (int host : {link.a, link.b}) {
      links_of[host] += Measured(link);
      slow_of[host] += slow(link);
    }
  }
  const auto blamed = [&](int host) {
    return slow_of[host] >= 2 && slow_of[host] == links_of[host];
  };
  std::vector<CheckRow> rows;
  for (size_t host = 0; host < names.size(); ++host) {
    if (!blamed(static_cast<int>(host))) continue;
    double best = 0;
    for (const LinkFacts& link : links) {
      const int index = static_cast<int>(host);
      if (link.a == index || link.b == index) best = std::max(best, Speed(link));
    }
    rows.push_back({Outcome::kRemark,
                    "network",
                    {names[host]},
                    absl::StrFormat("SL1013 slow: at most %.1f MB/s to each of %d hosts, others "
                                    "reach %.1f MB/s",
                                    best / 1e6, links_of[host], usual / 1e6),
                    "Look at its link's speed and errors (ethtool)",
                    0});
  }
  for (const LinkFacts& link : links) {
    const std::string pair = absl::StrCat(names[link.b], " -> ", names[link.a]);
    if (!link.error.empty()) {
      const bool half_open = OtherWayWorks(links, link);
      rows.push_back({Outcome::kFailed,
                      "connection",
                      {pair},
                      absl::StrCat(half_open ? "SL1012 " : "SL1011 ", link.address, ": ",
                                   link.error, half_open ? ", the other way works" : ""),
                      half_open ? "A firewall: open all ports between the hosts of a job"
                                : "Choose the network that all share: --network-interface NAME",
                      kExitUnreachable});
    } else if (Measured(link)) {
      const bool remark = slow(link) && !blamed(link.a) && !blamed(link.b);
      rows.push_back({remark ? Outcome::kRemark : Outcome::kPassed,
                      "network",
                      {absl::StrCat(names[link.a], " - ", names[link.b])},
                      absl::StrCat(remark ? "SL1013 slow: " : "", Numbers(link)),
                      remark ? absl::StrFormat("Others reach %.1f MB/s", usual / 1e6) : "",
                      0});
    }
  }
  return rows;
}

}  // namespace sluice
