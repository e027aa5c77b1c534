// Names of codecs, as files hold them.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "policies/compression/codec_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const absl::string_view name(reinterpret_cast<const char*>(data), size);
  const auto codec = ParseCodecName(name);
  if (codec.ok()) {
    SLUICE_CHECK(CodecName(*codec) == name, "a name that is read is the codec's name");
  } else {
    SLUICE_CHECK(absl::IsInvalidArgument(codec.status()), "a documented error");
    SLUICE_CHECK(codec.status().message().size() < 600, "errors stay readable");
  }
  return 0;
}
