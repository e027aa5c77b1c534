#include "orchestrator/preflight/build_report.h"

#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "orchestrator/launcher/ssh.h"

namespace sluice {
namespace {

BuildItem Program(const char* name, const char* program) {
  const auto path = FindProgram(program);
  return {path.ok(), name, path.ok() ? *path : std::string(path.status().message())};
}

BuildItem Library(const HostFacts& self, const char* name) {
  const auto found = self.libraries.find(name);
  return {found != self.libraries.end(), name,
          found != self.libraries.end() ? found->second : "not built in"};
}

}  // namespace

std::vector<BuildList> BuildReport(const HostFacts& self) {
  std::string gpu = self.gpu;
  if (const size_t colon = gpu.find(": "); colon != gpu.npos) gpu = gpu.substr(colon + 2);
  return {{"Frameworks", {Library(self, "LibTorch")}},
          {"Controllers",
           {Library(self, "CAF"), Program("ssh", "ssh"), Program("Slurm", "srun"),
            Program("MPI", "mpirun")}},
          {"Tensor operations",
           {Library(self, "UCX"),
            {true, "codecs", absl::StrCat("with ", self.instruction_set)},
            {self.devices > 0, "NCCL", gpu}}}};
}

std::string BuildText(const std::vector<BuildList>& lists) {
  std::string text = absl::StrCat("sluice ", kVersion, "\n");
  for (const BuildList& list : lists) {
    absl::StrAppend(&text, "\n", list.title, ":\n");
    for (const BuildItem& item : list.items) {
      absl::StrAppend(&text, "    [", item.there ? "X" : " ", "] ", item.name,
                      item.detail.empty() ? "" : " ", item.detail, "\n");
    }
  }
  return text;
}

std::string BuildJson(const std::vector<BuildList>& lists) {
  nlohmann::json object = {{"event", "build"}, {"version", kVersion}};
  for (const BuildList& list : lists) {
    nlohmann::json items = nlohmann::json::array();
    for (const BuildItem& item : list.items) {
      items.push_back({{"name", item.name}, {"there", item.there}, {"detail", item.detail}});
    }
    object["lists"].push_back({{"title", list.title}, {"items", items}});
  }
  return object.dump() + "\n";
}

}  // namespace sluice
