#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// Opens libraries at run time, so that the binary needs none of them to start.
class SharedLibraries {
 public:
  virtual ~SharedLibraries() = default;

  /// A handle, valid for the life of the process: GPU libraries keep threads and are never closed.
  /// \error kNotFound  names the library and says why, as the loader does
  virtual absl::StatusOr<void*> Open(const std::string& name) = 0;

  /// \error kNotFound  names the symbol
  virtual absl::StatusOr<void*> Symbol(void* library, const std::string& name) = 0;
};

/// The libraries of this machine, by dlopen with RTLD_NOW and RTLD_LOCAL.
class SystemLibraries : public SharedLibraries {
 public:
  /// \param before  folders searched before the loader's own (LD_LIBRARY_PATH, ld.so.cache)
  /// \param after   folders searched last
  SystemLibraries(std::vector<std::string> before, std::vector<std::string> after);

  /// $NCCL_HOME/lib and $CUDA_HOME/lib64 where set, then the loader's own, then
  /// /usr/local/cuda/lib64. Reads the environment: before other threads change it.
  static SystemLibraries FromEnvironment();

  absl::StatusOr<void*> Open(const std::string& name) override;
  absl::StatusOr<void*> Symbol(void* library, const std::string& name) override;

 private:
  std::vector<std::string> before_;
  std::vector<std::string> after_;
};

}  // namespace sluice
