#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/data/image_set.h"

namespace sluice {

/// A set of grey images that comes as IDX files: MNIST and those made after it.
struct IdxImages {
  std::string name;
  std::string train_prefix = "train-";  ///< PREFIXimages-idx3-ubyte and PREFIXlabels-idx1-ubyte
  std::string test_prefix = "t10k-";
  int64_t classes = 10;
  int64_t side = 28;        ///< 0: any height and width
  int64_t first_label = 0;  ///< as the file counts
  bool transposed = false;  ///< the file holds columns where others hold rows
  float mean = 0;           ///< of pixel / 255
  float deviation = 0;      ///< 0: the training set is measured
  std::string install;      ///< where it comes from, for errors
};

/// Knows fashion_mnist, mnist, kmnist, emnist and idx.
/// \param dataset       as the job's data.dataset
/// \param emnist_split  of emnist: balanced, byclass, bymerge, letters, digits or mnist
/// \param classes       of idx
/// Sources: LeCun, Cortes & Burges, "The MNIST database of handwritten digits"; Xiao, Rasul & Vollgraf,
/// 2017, "Fashion-MNIST"; Clanuwat et al., 2018, "Deep Learning for Classical Japanese Literature"
/// (KMNIST); Cohen et al., 2017, "EMNIST".
/// \pre the name is one of these
IdxImages IdxImagesOf(absl::string_view dataset, absl::string_view emnist_split, int64_t classes);

/// Loads the two files of `split` in `directory`, each plain or with `.gz`. Mean and deviation stay
/// empty where `images` has none.
/// \error kNotFound  with the path, what to install and the job's key
/// \error kDataLoss  a damaged file, images and labels that do not match, a label out of range
absl::StatusOr<ImageSet> LoadIdxImages(const IdxImages& images, const std::string& directory,
                                       Split split);

}  // namespace sluice
