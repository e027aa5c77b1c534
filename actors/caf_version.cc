#include "actors/caf_version.h"

#include "absl/strings/str_cat.h"
#include "caf/config.hpp"

namespace sluice {

std::string CafVersion() {
  return absl::StrCat(CAF_MAJOR_VERSION, ".", CAF_MINOR_VERSION, ".", CAF_PATCH_VERSION);
}

}  // namespace sluice
