#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/dataset.h"
#include "models/data/fashion_mnist.h"
#include "models/data/image_dataset.h"

namespace sluice {

absl::StatusOr<Datasets> LoadDatasets(const proto::Data& data) {
  if (data.dataset() != "fashion_mnist") {
    return absl::InvalidArgumentError(
        absl::StrCat("data.dataset is \"", data.dataset(), "\": expected fashion_mnist"));
  }
  SLUICE_ASSIGN_OR_RETURN(ImageSet train, LoadFashionMnist(data.path(), Split::kTrain));
  SLUICE_ASSIGN_OR_RETURN(ImageSet test, LoadFashionMnist(data.path(), Split::kTest));
  return Datasets{MakeImageDataset(std::move(train)), MakeImageDataset(std::move(test))};
}

}  // namespace sluice
