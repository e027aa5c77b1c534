#include "comm/nccl/shared_libraries.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

std::string LoaderError() {
  const char* error = dlerror();
  return error != nullptr ? error : "no reason given";
}

}  // namespace

SystemLibraries::SystemLibraries(std::vector<std::string> before, std::vector<std::string> after)
    : before_(std::move(before)), after_(std::move(after)) {}

SystemLibraries SystemLibraries::FromEnvironment() {
  std::vector<std::string> before;
  for (const char* home : {std::getenv("NCCL_HOME"), std::getenv("CUDA_HOME")}) {
    if (home == nullptr || *home == '\0') continue;
    before.push_back(absl::StrCat(home, "/lib64"));
    before.push_back(absl::StrCat(home, "/lib"));
  }
  return SystemLibraries(std::move(before), {"/usr/local/cuda/lib64"});
}

absl::StatusOr<void*> SystemLibraries::Open(const std::string& name) {
  std::vector<std::string> candidates;
  const auto add_existing = [&](const std::vector<std::string>& folders) {
    for (const std::string& folder : folders) {
      std::string path = absl::StrCat(folder, "/", name);
      if (access(path.c_str(), F_OK) == 0) candidates.push_back(std::move(path));
    }
  };
  add_existing(before_);
  candidates.push_back(name);
  add_existing(after_);
  // The first that exists and fails tells most: a damaged file, a missing dependency.
  std::string error;
  for (const std::string& candidate : candidates) {
    if (void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    if (const std::string why = LoaderError(); error.empty()) error = why;
  }
  return absl::NotFoundError(error);
}

absl::StatusOr<void*> SystemLibraries::Symbol(void* library, const std::string& name) {
  dlerror();
  void* symbol = dlsym(library, name.c_str());
  if (symbol == nullptr) return absl::NotFoundError(LoaderError());
  return symbol;
}

}  // namespace sluice
