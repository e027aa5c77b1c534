#include "orchestrator/config/otov3_checks.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "orchestrator/config/field_value.h"
#include "training/phases/otov3/prune_settings.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;

// Of a phase that lasts epochs, whose steps are not known here: long enough for any settings.
constexpr int64_t kManySteps = 1'000'000'000;

}  // namespace

std::vector<std::string> Otov3Problems(const proto::Phase& phase) {
  if (phase.kind() != "otov3") {
    proto::Phase plain;
    SetDefaults(plain);
    if (!phase.has_otov3() || MessageDifferencer::Equals(plain.otov3(), phase.otov3())) return {};
    return {absl::StrCat("otov3 is for phases of kind otov3, this is ", phase.kind())};
  }
  std::vector<std::string> problems;
  proto::Phase plain;
  SetDefaults(plain);
  const proto::Otov3& otov3 = phase.otov3();
  const bool of_channels = otov3.divisor() != plain.otov3().divisor() ||
                           otov3.max_removed() != plain.otov3().max_removed();
  if (otov3.mode() == "erase" && of_channels) {
    problems.push_back(
        "otov3.mode erase removes whole operators, otov3.divisor and otov3.max_removed are of "
        "channels: leave them out");
  }
  const auto timeline = otov3::MakeTimeline(otov3::PruneSettingsOf(phase),
                                            phase.steps() > 0 ? phase.steps() : kManySteps);
  if (!timeline.ok()) problems.push_back(std::string(timeline.status().message()));
  return problems;
}

}  // namespace sluice
