#include "training/model_state.h"

#include <algorithm>
#include <sstream>

#include "models/torch_guard.h"

namespace sluice {

std::vector<NamedParameter> ParametersInBackwardOrder(const Network& network) {
  std::vector<NamedParameter> parameters;
  for (const auto& item : network.named_parameters()) {
    parameters.push_back({item.key(), item.value()});
  }
  std::reverse(parameters.begin(), parameters.end());
  return parameters;
}

std::vector<absl::Span<float>> FloatBuffersOf(const Network& network) {
  std::vector<absl::Span<float>> spans;
  for (const at::Tensor& buffer : network.buffers()) {
    if (buffer.scalar_type() != at::kFloat) continue;
    spans.emplace_back(buffer.data_ptr<float>(), buffer.numel());
  }
  return spans;
}

absl::StatusOr<std::string> SerializeNetwork(const Network& network) {
  return TorchGuard("serialize the model", [&] {
    std::ostringstream out;
    network.WriteArchive(out);
    return out.str();
  });
}

}  // namespace sluice
