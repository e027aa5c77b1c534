#include "models/zoo/zoo.h"

#include <ATen/Context.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/random.h"
#include "models/torch_guard.h"
#include "models/zoo/cnn.h"
#include "models/zoo/resnet18.h"
#include "models/zoo/vgg11.h"

namespace sluice {

absl::StatusOr<std::shared_ptr<Network>> BuildNetwork(const proto::Model& model,
                                                      const DataShape& shape, uint64_t seed) {
  const std::string& name = model.name();
  std::shared_ptr<Network> (*make)() = nullptr;
  if (name == "cnn") make = MakeCnn;
  if (name == "resnet18") make = MakeResnet18;
  if (name == "vgg11") make = MakeVgg11;
  if (make == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.name is \"", name, "\": expected cnn, resnet18 or vgg11"));
  }
  if (shape.input != std::vector<int64_t>{1, 28, 28} || shape.classes != 10) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.name is \"", name,
                     "\": it takes images of 1 x 28 x 28 in 10 classes, data.dataset has ",
                     absl::StrJoin(shape.input, " x "), " in ", shape.classes));
  }
  return TorchGuard(absl::StrCat("build model ", name), [&] {
    at::manual_seed(RandomKey(seed).With("weights").value());
    return make();
  });
}

}  // namespace sluice
