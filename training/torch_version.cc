#include "training/torch_version.h"

#include <ATen/Version.h>
#include <torch/version.h>

namespace sluice {

std::string TorchVersion() {
  // "..., TORCH_VERSION=1.13.1, ..." among the settings of the build
  static constexpr char kKey[] = "TORCH_VERSION=";
  const std::string settings = at::show_config();
  const size_t at = settings.find(kKey);
  if (at == std::string::npos) return TORCH_VERSION;
  const size_t begin = at + sizeof(kKey) - 1;
  return settings.substr(begin, settings.find_first_of(", \n", begin) - begin);
}

}  // namespace sluice
