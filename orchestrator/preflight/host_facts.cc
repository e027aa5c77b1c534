#include "orchestrator/preflight/host_facts.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {

using nlohmann::json;

std::string TextField(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t IntegerField(const json& object, const char* key, int64_t otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

double NumberField(const json& object, const char* key, double otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}

json ToJson(const HostFacts& facts) {
  return {{"host", facts.host},
          {"version", facts.version},
          {"hash", facts.hash},
          {"libraries", facts.libraries},
          {"address", facts.address},
          {"address_error", facts.address_error},
          {"driver_address", facts.driver_address},
          {"shm_bytes", facts.shm_bytes},
          {"shm_free_bytes", facts.shm_free_bytes},
          {"open_files", facts.open_files},
          {"open_files_hard", facts.open_files_hard},
          {"locked_bytes", facts.locked_bytes},
          {"memory_bytes", facts.memory_bytes},
          {"memory_free_bytes", facts.memory_free_bytes},
          {"processors", facts.processors},
          {"instruction_set", facts.instruction_set},
          {"devices", facts.devices},
          {"gpu", facts.gpu},
          {"interfaces", facts.interfaces},
          {"directory_error", facts.directory_error},
          {"folder", facts.folder},
          {"folder_error", facts.folder_error},
          {"folder_free_bytes", facts.folder_free_bytes}};
}

HostFacts HostFactsFromJson(const json& object) {
  HostFacts facts;
  facts.host = TextField(object, "host");
  facts.version = TextField(object, "version");
  facts.hash = TextField(object, "hash");
  if (const auto found = object.find("libraries"); found != object.end() && found->is_object()) {
    for (const auto& [name, version] : found->items()) {
      if (version.is_string()) facts.libraries[name] = version.get<std::string>();
    }
  }
  facts.address = TextField(object, "address");
  facts.address_error = TextField(object, "address_error");
  facts.driver_address = TextField(object, "driver_address");
  facts.shm_bytes = IntegerField(object, "shm_bytes", -1);
  facts.shm_free_bytes = IntegerField(object, "shm_free_bytes", -1);
  facts.open_files = IntegerField(object, "open_files", -1);
  facts.open_files_hard = IntegerField(object, "open_files_hard", -1);
  facts.locked_bytes = IntegerField(object, "locked_bytes", -1);
  facts.memory_bytes = IntegerField(object, "memory_bytes", -1);
  facts.memory_free_bytes = IntegerField(object, "memory_free_bytes", -1);
  facts.processors = IntegerField(object, "processors", -1);
  facts.instruction_set = TextField(object, "instruction_set");
  facts.devices = IntegerField(object, "devices", 0);
  facts.gpu = TextField(object, "gpu");
  if (const auto found = object.find("interfaces"); found != object.end() && found->is_array()) {
    for (const json& one : *found) {
      if (one.is_string()) facts.interfaces.push_back(one.get<std::string>());
    }
  }
  facts.directory_error = TextField(object, "directory_error");
  facts.folder = TextField(object, "folder");
  facts.folder_error = TextField(object, "folder_error");
  facts.folder_free_bytes = IntegerField(object, "folder_free_bytes", -1);
  return facts;
}

absl::StatusOr<json> ParseCheckAnswer(absl::string_view line) {
  const size_t size = sizeof(kCheckAnswer) - 1;
  if (absl::StartsWith(line, kCheckAnswer)) {
    const absl::string_view text = line.substr(size);
    json object = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
    if (object.is_object()) return object;
  }
  return absl::DataLossError(absl::StrCat("unexpected answer: ", line.substr(0, 200)));
}

}  // namespace sluice
