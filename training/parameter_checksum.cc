#include "training/parameter_checksum.h"

#include <xxhash.h>

namespace sluice {

uint64_t ParameterChecksumOf(const std::vector<at::Tensor>& parameters) {
  XXH3_state_t* const state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (const at::Tensor& parameter : parameters) {
    const at::Tensor values = parameter.detach().contiguous();
    XXH3_64bits_update(state, values.data_ptr<float>(), values.nbytes());
  }
  const uint64_t digest = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return digest;
}

}  // namespace sluice
