#include "orchestrator/preflight/host_verdicts.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/exit_codes.h"

namespace sluice {
namespace {

// A number of bytes as memory and disks are counted.
std::string Binary(int64_t bytes) {
  if (bytes == std::numeric_limits<int64_t>::max()) return "unlimited";
  if (bytes >= int64_t{1} << 30) return absl::StrFormat("%.1f GiB", bytes / 1073741824.0);
  if (bytes >= 1 << 20) return absl::StrFormat("%.0f MiB", bytes / 1048576.0);
  return absl::StrFormat("%.0f KiB", bytes / 1024.0);
}

std::string Count(int64_t number) {
  return number == std::numeric_limits<int64_t>::max() ? "unlimited" : absl::StrCat(number);
}

CheckRow Passed(const CheckedHost& host, const char* check, std::string what) {
  return {Outcome::kPassed, check, {host.name}, std::move(what), "", 0};
}

CheckRow Remark(const CheckedHost& host, const char* check, std::string what, std::string advice) {
  return {Outcome::kRemark, check, {host.name}, std::move(what), std::move(advice), 0};
}

CheckRow Failed(const CheckedHost& host, const char* check, int exit_code, std::string what,
                std::string advice) {
  return {Outcome::kFailed, check, {host.name}, std::move(what), std::move(advice), exit_code};
}

CheckRow Program(const HostFacts& self, const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  if (facts.version == self.version && facts.hash == self.hash) {
    return Passed(host, "program", absl::StrCat("sluice ", facts.version, ", XXH3 ", facts.hash));
  }
  return Failed(host, "program", kExitConfig,
                absl::StrCat("SL1030 another build: sluice ", facts.version, ", XXH3 ", facts.hash,
                             "; here ", self.version, ", ", self.hash),
                "Install the same program in the same place on every host");
}

CheckRow Libraries(const HostFacts& self, const CheckedHost& host) {
  const auto text = [](const HostFacts& facts) {
    return absl::StrJoin(facts.libraries, ", ", absl::PairFormatter(" "));
  };
  if (host.facts.libraries == self.libraries) {
    return Passed(host, "libraries", text(host.facts));
  }
  return Failed(host, "libraries", kExitConfig,
                absl::StrCat("SL1030 other libraries: ", text(host.facts), "; here ", text(self)),
                "Install the same packages on every host");
}

CheckRow Clock(const CheckedHost& host) {
  const absl::Duration off = absl::AbsDuration(host.clock_ahead);
  if (host.clock_uncertainty >= kClockFailure) {
    return Remark(host, "clock", "SL1060 it did not answer what time it has", "Try again");
  }
  const std::string within =
      absl::StrFormat("within %.0f ms", absl::ToDoubleMilliseconds(host.clock_uncertainty));
  const std::string what =
      absl::StrFormat("SL1060 %.1f s %s this host's, %s", absl::ToDoubleSeconds(off),
                      host.clock_ahead > absl::ZeroDuration() ? "ahead of" : "behind", within);
  // What the measurement cannot tell from no offset at all is none.
  if (off - host.clock_uncertainty >= kClockFailure) {
    return Failed(host, "clock", kExitConfig, what,
                  "Certificates may be refused, and logs do not fit together: start NTP there");
  }
  if (off - host.clock_uncertainty >= kClockRemark) {
    return Remark(host, "clock", what, "Times in logs and traces do not fit together: start NTP");
  }
  if (host.clock_uncertainty >= kClockRemark) {
    return Remark(host, "clock", absl::StrCat("known only ", within), "The network is slow");
  }
  return Passed(host, "clock", "the same within 1 s");
}

CheckRow SharedMemory(const CheckedHost& host) {
  const int64_t needed = kShmPerSlot * host.slots;
  const HostFacts& facts = host.facts;
  const std::string size = absl::StrCat("/dev/shm ", Binary(facts.shm_bytes));
  const std::string what = absl::StrCat(size, ", ", Binary(facts.shm_free_bytes), " free");
  // What passes is said without numbers that differ from host to host, so that their rows join; --json has them.
  if (facts.shm_free_bytes >= needed) return Passed(host, "shared memory", size);
  return Failed(host, "shared memory", kExitConfig,
                facts.shm_bytes < 0
                    ? "SL1040 there is no /dev/shm"
                    : absl::StrCat("SL1040 ", what, ", ", Binary(needed), " needed for ",
                                   host.slots, host.slots == 1 ? " worker" : " workers"),
                "In a container: start it with a larger shm size; else remove what is left there");
}

CheckRow OpenFiles(const CheckedHost& host, int workers) {
  const int64_t needed = OpenFilesNeeded(workers);
  const HostFacts& facts = host.facts;
  const std::string what = absl::StrCat("limit ", Count(facts.open_files));
  if (facts.open_files >= needed) return Passed(host, "open files", what);
  return Failed(host, "open files", kExitConfig,
                absl::StrCat("SL1042 ", what, ", ", needed, " needed for ", workers, " workers"),
                facts.open_files_hard >= needed
                    ? absl::StrCat("ulimit -n ", needed, " before the start, or limits.conf")
                    : absl::StrCat("The hard limit is ", Count(facts.open_files_hard),
                                   ": raise it in limits.conf or in sshd's service"));
}

CheckRow LockedMemory(const CheckedHost& host) {
  const std::string what = absl::StrCat("limit ", Binary(host.facts.locked_bytes));
  if (host.facts.locked_bytes >= kLockedForRdma) return Passed(host, "locked memory", what);
  return Remark(host, "locked memory", what,
                "Enough for TCP; RDMA wants it unlimited (memlock in limits.conf)");
}

CheckRow Memory(const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  const std::string what =
      absl::StrCat(Binary(facts.memory_bytes), ", ", Binary(facts.memory_free_bytes), " free");
  const int64_t needed = kMemoryPerSlot * host.slots;
  if (facts.memory_free_bytes >= needed) {
    return Passed(host, "memory", Binary(facts.memory_bytes));
  }
  return Remark(host, "memory", what,
                absl::StrCat("Reckon with ", Binary(needed), " or more for ", host.slots,
                             host.slots == 1 ? " worker" : " workers"));
}

CheckRow Processor(const HostFacts& self, const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  std::string what = absl::StrCat(facts.instruction_set, ", ", facts.processors, " processors");
  if (facts.instruction_set != self.instruction_set) {
    return Remark(host, "processor", absl::StrCat(what, "; here ", self.instruction_set),
                  "The slowest host sets the pace of all");
  }
  if (facts.processors > 0 && facts.processors < host.slots) {
    return Remark(host, "processor", absl::StrCat(what, " for ", host.slots, " workers"),
                  "Workers take turns: fewer slots are not slower");
  }
  return Passed(host, "processor", std::move(what));
}

CheckRow Gpus(const std::vector<CheckedHost>& hosts, const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  const bool alike = std::all_of(hosts.begin(), hosts.end(), [&](const CheckedHost& other) {
    return other.facts.devices == facts.devices;
  });
  if (!alike) {
    return Remark(host, "GPU", absl::StrCat(facts.devices, " devices. ", facts.gpu),
                  "Hosts have different numbers of devices");
  }
  return Passed(host, "GPU", facts.gpu);
}

CheckRow Interfaces(const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  std::string what = absl::StrJoin(facts.interfaces, ", ");
  if (!facts.address_error.empty()) {
    return Failed(host, "interfaces", kExitConfig, facts.address_error,
                  "Name one that every host has: --network-interface NAME");
  }
  return Passed(host, "interfaces", std::move(what));
}

CheckRow Folder(const CheckedHost& host) {
  const HostFacts& facts = host.facts;
  if (!facts.directory_error.empty()) {
    return Failed(host, "folder", kExitConfig, absl::StrCat("SL4002 ", facts.directory_error),
                  "Workers start in the launcher's directory; run from one that every host has");
  }
  if (!facts.folder_error.empty()) {
    return Failed(host, "folder", kExitStorage, absl::StrCat("SL4002 ", facts.folder_error),
                  "Choose another: --set checkpoint.directory=..., --run-directory");
  }
  const std::string what =
      absl::StrCat(facts.folder, ", ", Binary(facts.folder_free_bytes), " free");
  if (facts.folder_free_bytes < kFolderFree) {
    return Remark(host, "folder", what, "Checkpoints may not fit");
  }
  return Passed(host, "folder", absl::StrCat(facts.folder, " can be written"));
}

}  // namespace

int64_t OpenFilesNeeded(int workers) { return 256 + 8 * int64_t{workers}; }

std::vector<CheckRow> JudgeHosts(const HostFacts& self, const std::vector<CheckedHost>& hosts) {
  int workers = 0;
  for (const CheckedHost& host : hosts) workers += host.slots;
  std::vector<CheckRow> rows;
  const auto judge = [&](auto check) {
    for (const CheckedHost& host : hosts) rows.push_back(check(host));
  };
  judge([&](const CheckedHost& host) { return Program(self, host); });
  judge([&](const CheckedHost& host) { return Libraries(self, host); });
  judge(Clock);
  judge(SharedMemory);
  judge([&](const CheckedHost& host) { return OpenFiles(host, workers); });
  judge(LockedMemory);
  judge(Memory);
  judge([&](const CheckedHost& host) { return Processor(self, host); });
  judge([&](const CheckedHost& host) { return Gpus(hosts, host); });
  judge(Interfaces);
  judge(Folder);
  return rows;
}

}  // namespace sluice
