#include "orchestrator/preflight/host_survey.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "actors/caf_version.h"
#include "base/version.h"
#include "comm/codec/codec.h"
#include "comm/nccl/gpu_probe.h"
#include "comm/transport/ucx_version.h"
#include "orchestrator/launcher/network.h"
#include "training/torch_version.h"
#include "xxhash.h"

namespace sluice {
namespace {

std::string HashOfThisProgram() {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), block.size()) || file.gcount() > 0) {
    XXH3_64bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
  }
  return absl::StrCat(absl::Hex(XXH3_64bits_digest(state.get()), absl::kZeroPad16));
}

int64_t Limit(rlim_t value) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return value == RLIM_INFINITY ? kMost : static_cast<int64_t>(std::min<rlim_t>(value, kMost));
}

// A line of /proc/meminfo, in bytes.
int64_t MemoryInfo(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  std::string word;
  int64_t kilobytes = 0;
  while (file >> word) {
    if (word == name + ":" && file >> kilobytes) return kilobytes * 1024;
  }
  return -1;
}

// What a container may use, which /proc/meminfo does not know; -1 = no limit.
int64_t GroupLimit() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  int64_t bytes = 0;
  return file >> bytes ? bytes : -1;
}

int64_t Processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

// "client-address client-port server-address server-port", by sshd.
std::vector<std::string> SshConnection() {
  const char* text = std::getenv("SSH_CONNECTION");
  std::vector<std::string> words = absl::StrSplit(text != nullptr ? text : "", ' ');
  return words.size() == 4 ? words : std::vector<std::string>{};
}

void FindAddress(const std::string& interface, HostFacts& facts) {
  const std::vector<InterfaceAddress> all = InterfaceAddresses();
  for (const InterfaceAddress& one : all) {
    if (!one.loopback) facts.interfaces.push_back(absl::StrCat(one.interface, " ", one.address));
  }
  const std::vector<std::string> ssh = SshConnection();
  if (!ssh.empty()) facts.driver_address = ssh[0];
  if (!interface.empty()) {
    auto address = AddressOf(interface);
    if (address.ok()) {
      facts.address = *address;
    } else {
      facts.address_error = std::string(address.status().message());
    }
  } else if (!ssh.empty()) {
    facts.address = ssh[2];
  } else {
    for (const InterfaceAddress& one : all) {
      if (!one.loopback && facts.address.empty()) facts.address = one.address;
    }
    if (facts.address.empty()) facts.address = "127.0.0.1";
  }
}

std::string Absolute(const std::string& path) {
  char current[4096] = {};
  if (!path.empty() && path.front() == '/') return path;
  return absl::StrCat(getcwd(current, sizeof(current)) != nullptr ? current : "", "/", path);
}

std::string TryToWrite(const std::string& folder) {
  std::string path = folder + "/.sluice-check-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return absl::StrCat("cannot write in ", folder, ": ", std::strerror(errno));
  std::vector<char> block(64 << 10);
  const bool written =
      write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size()) && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  unlink(path.c_str());
  return written ? "" : absl::StrCat("cannot write 64 KiB in ", folder, ": ", std::strerror(error));
}

void TryFolder(const std::string& folder, HostFacts& facts) {
  facts.folder = Absolute(folder);
  std::string existing = facts.folder;
  struct stat status;
  while (stat(existing.c_str(), &status) != 0 && errno == ENOENT && existing.size() > 1) {
    existing = existing.substr(0, existing.rfind('/'));
    if (existing.empty()) existing = "/";
  }
  facts.folder_error = TryToWrite(existing);
  struct statvfs system;
  if (statvfs(existing.c_str(), &system) == 0) {
    facts.folder_free_bytes = static_cast<int64_t>(system.f_bavail * system.f_frsize);
  }
}

}  // namespace

HostFacts SurveyHost(const SurveyRequest& request) {
  HostFacts facts;
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0) facts.host = name;
  facts.version = kVersion;
  facts.hash = HashOfThisProgram();
  facts.libraries = {{"LibTorch", TorchVersion()}, {"UCX", UcxVersion()}, {"CAF", CafVersion()}};
  FindAddress(request.interface, facts);
  struct statvfs shm;
  if (statvfs("/dev/shm", &shm) == 0) {
    facts.shm_bytes = static_cast<int64_t>(shm.f_blocks * shm.f_frsize);
    facts.shm_free_bytes = static_cast<int64_t>(shm.f_bavail * shm.f_frsize);
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    facts.open_files = Limit(limit.rlim_cur);
    facts.open_files_hard = Limit(limit.rlim_max);
  }
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) facts.locked_bytes = Limit(limit.rlim_cur);
  facts.memory_bytes = MemoryInfo("MemTotal");
  facts.memory_free_bytes = MemoryInfo("MemAvailable");
  if (const int64_t group = GroupLimit(); group >= 0) {
    facts.memory_bytes = std::min(facts.memory_bytes, group);
    facts.memory_free_bytes = std::min(facts.memory_free_bytes, group);
  }
  facts.processors = Processors();
  facts.instruction_set = CodecInstructionSet();
  if (request.gpus) {
    SystemLibraries libraries = SystemLibraries::FromEnvironment();
    const GpuReport report = ProbeGpu(libraries).report;
    facts.devices = report.devices;
    facts.gpu = ToString(report);
  }
  if (!request.directory.empty() && chdir(request.directory.c_str()) != 0) {
    facts.directory_error =
        absl::StrCat("cannot enter ", request.directory, ": ", std::strerror(errno));
  } else if (!request.folder.empty()) {
    TryFolder(request.folder, facts);
  }
  return facts;
}

}  // namespace sluice
