// Reducer states as a checkpoint might hold them.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/check.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/reducer_state.h"
#include "comm/transport/inproc_transport.h"

namespace sluice {
namespace {

// In a world of one, whose tensors a seed describes.
void CheckLoad(absl::string_view bytes, const ReducerState& state) {
  if (state.rank != Rank(0) || state.world_size != 1 || state.next_step.value > 1000000) return;
  BucketLayout layout = *BucketLayout::Create({{"a.weight", 24, 4}, {"b", 3}}, 1024, 1);
  Reducer::Options options;
  options.first_step = state.next_step;
  auto transports = CreateInprocTransports(1);
  auto reducer = Reducer::Create(options, layout, [&] { return std::move(transports[0]); });
  SLUICE_CHECK(reducer.ok(), "a reducer of one rank can be made");
  const absl::Status loaded = (*reducer)->LoadState(bytes, -1);
  if (!loaded.ok()) return;
  (*reducer)->BeginStep(state.next_step);
  SLUICE_CHECK((*reducer)->Finish().ok(), "what was loaded can be used");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto state = sluice::ReadReducerState(bytes);
  if (!state.ok()) {
    SLUICE_CHECK(state.status().code() == absl::StatusCode::kDataLoss, "its data is wrong");
    return 0;
  }
  const std::string again = sluice::WriteReducerState(*state);
  SLUICE_CHECK(again == bytes, "a state that reads is written the same");
  const auto merged = sluice::MergeReducerStates({bytes}, sluice::Rank(0), 2);
  SLUICE_CHECK(merged.ok() && sluice::ReadReducerState(merged->bytes).ok(), "merged states read");
  sluice::CheckLoad(bytes, *state);
  return 0;
}
