#include "models/zoo/zoo.h"

#include <ATen/Context.h>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "models/torch_guard.h"
#include "models/zoo/cnn.h"
#include "models/zoo/resnet18.h"
#include "models/zoo/vgg11.h"

namespace sluice {

absl::StatusOr<std::shared_ptr<Network>> BuildNetwork(const std::string& name, uint64_t seed) {
  std::shared_ptr<Network> (*make)() = nullptr;
  if (name == "cnn") make = MakeCnn;
  if (name == "resnet18") make = MakeResnet18;
  if (name == "vgg11") make = MakeVgg11;
  if (make == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.name is \"", name, "\": expected cnn, resnet18 or vgg11"));
  }
  return TorchGuard(absl::StrCat("build model ", name), [&] {
    at::manual_seed(RandomKey(seed).With("weights").value());
    return make();
  });
}

}  // namespace sluice
