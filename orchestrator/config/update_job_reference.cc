// Rewrites the tables of docs/job_file.md in the source tree. For `bazel run`.

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "orchestrator/config/job_reference.h"

int main() {
  google::protobuf::FileDescriptorSet sources;
  std::ifstream descriptors("orchestrator/config/job.descriptor_set", std::ios::binary);
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr || !sources.ParseFromIstream(&descriptors)) {
    std::cerr << "run it with: bazel run //orchestrator/config:update_job_reference\n";
    return 2;
  }
  const std::string path = std::string(workspace) + "/docs/job_file.md";
  std::stringstream page;
  page << std::ifstream(path).rdbuf();
  const auto updated = sluice::WithJobReference(page.str(), sluice::JobReference(sources));
  if (!updated.ok()) {
    std::cerr << path << ": " << updated.status().message() << "\n";
    return 1;
  }
  std::ofstream(path) << *updated;
  std::cout << "wrote " << path << "\n";
  return 0;
}
