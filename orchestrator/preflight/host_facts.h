#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace sluice {

/// What `orchestrator check-host` finds on its machine. Numbers are -1 while unknown.
struct HostFacts {
  std::string host;                              ///< the name that it gives itself
  std::string version;                           ///< of Sluice
  std::string hash;                              ///< XXH3 of the executable
  std::map<std::string, std::string> libraries;  ///< "LibTorch", "UCX", "CAF" to version
  std::string address;         ///< where the others are to connect; empty: none was found
  std::string address_error;   ///< why not
  std::string driver_address;  ///< of who asked, as ssh saw it; empty without ssh
  int64_t shm_bytes = -1, shm_free_bytes = -1;
  int64_t open_files = -1, open_files_hard = -1;  ///< limits; INT64_MAX = none
  int64_t locked_bytes = -1;                      ///< the same
  int64_t memory_bytes = -1, memory_free_bytes = -1;
  int64_t processors = -1;
  std::string instruction_set;          ///< what the kernels use
  int64_t devices = 0;                  ///< GPUs
  std::string gpu;                      ///< one line
  std::vector<std::string> interfaces;  ///< "eth0 10.0.0.5"
  std::string directory_error;  ///< why the launcher's directory cannot be entered; empty: it can
  std::string folder;           ///< where files were tried: absolute
  std::string folder_error;     ///< empty: they can be written
  int64_t folder_free_bytes = -1;
};

nlohmann::json ToJson(const HostFacts& facts);

/// The inverse. Fields that are absent or of another type stay as they are in a new HostFacts: another version may have
/// written it.
HostFacts HostFactsFromJson(const nlohmann::json& json);

/// What begins each answer: a login shell may print, too.
inline constexpr char kCheckAnswer[] = "sluice-check ";

/// The object of an answer line. \error kDataLoss  no answer, or no JSON object
absl::StatusOr<nlohmann::json> ParseCheckAnswer(absl::string_view line);

/// Fields of an object of which nothing is known: `otherwise` if absent or of another type.
std::string TextField(const nlohmann::json& json, const char* key);
int64_t IntegerField(const nlohmann::json& json, const char* key, int64_t otherwise);
double NumberField(const nlohmann::json& json, const char* key, double otherwise);

}  // namespace sluice
