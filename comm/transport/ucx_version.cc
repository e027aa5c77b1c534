#include "comm/transport/ucx_version.h"

#include "absl/strings/str_cat.h"
#include "ucp/api/ucp.h"

namespace sluice {

std::string UcxVersion() {
  unsigned major = 0, minor = 0, release = 0;
  ucp_get_version(&major, &minor, &release);
  return absl::StrCat(major, ".", minor, ".", release);
}

}  // namespace sluice
