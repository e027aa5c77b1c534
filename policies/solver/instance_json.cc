#include "policies/solver/instance_json.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Bad(const std::string& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

absl::StatusOr<int64_t> Integer(const Json* value, const std::string& where) {
  if (value == nullptr) return Bad(where, "missing, expected an integer");
  if (!value->is_number_integer()) {
    return Bad(where, absl::StrCat("expected an integer, found ", value->type_name()));
  }
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Bad(where, "the integer does not fit in 64 bits");
  }
  const int64_t number = value->get<int64_t>();
  if (number < 0) return Bad(where, absl::StrCat("is ", number, ", expected 0 or more"));
  return number;
}

/// The string under "name", else `fallback`.
absl::StatusOr<std::string> Name(const Json& object, std::string fallback) {
  const Json* name = Find(object, "name");
  if (name == nullptr) return fallback;
  if (!name->is_string()) return Bad(fallback, "\"name\" must be a string");
  return name->get<std::string>();
}

absl::Status ReadLayer(const Json& json, const std::string& where, NamedInstance& into) {
  const Json* options = json.is_object() ? Find(json, "options") : nullptr;
  if (options == nullptr || !options->is_array()) {
    return Bad(where, "expected an object with an array \"options\"");
  }
  if (options->empty()) return Bad(where, "\"options\" is empty, a layer needs at least one");
  into.instance.layers.emplace_back();
  for (size_t c = 0; c < options->size(); ++c) {
    const Json& pair = (*options)[c];
    const std::string option = absl::StrCat(where, ", option ", c);
    if (!pair.is_array() || pair.size() != 2) return Bad(option, "expected [size, error]");
    SLUICE_ASSIGN_OR_RETURN(const int64_t size, Integer(&pair[0], option + ", size"));
    SLUICE_ASSIGN_OR_RETURN(const int64_t error, Integer(&pair[1], option + ", error"));
    into.instance.layers.back().push_back({size, error});
  }
  return absl::OkStatus();
}

absl::StatusOr<NamedInstance> ReadInstance(const Json& json, const std::string& fallback) {
  if (!json.is_object()) return Bad(fallback, "expected an object with \"budget\" and \"layers\"");
  NamedInstance read;
  SLUICE_ASSIGN_OR_RETURN(read.name, Name(json, fallback));
  const std::string where = absl::StrCat("instance \"", read.name, "\"");
  SLUICE_ASSIGN_OR_RETURN(read.instance.budget, Integer(Find(json, "budget"), where + ", budget"));
  const Json* layers = Find(json, "layers");
  if (layers == nullptr || !layers->is_array()) {
    return Bad(where, "expected an array \"layers\"");
  }
  for (size_t l = 0; l < layers->size(); ++l) {
    std::string name = absl::StrCat("layer ", l);
    if ((*layers)[l].is_object()) {
      SLUICE_ASSIGN_OR_RETURN(name, Name((*layers)[l], std::move(name)));
    }
    SLUICE_RETURN_IF_ERROR(
        ReadLayer((*layers)[l], absl::StrCat(where, ", layer \"", name, "\""), read));
    read.layers.push_back(std::move(name));
  }
  return read;
}

Json Render(const std::string& name, const KnapsackSolution& solution, double seconds) {
  Json json;
  json["name"] = name;
  json["feasible"] = solution.feasible;
  json["optimal"] = solution.optimal;
  json["choice"] = solution.choice;
  json["size"] = solution.size;
  json["error"] = solution.error;
  json["lower_bound"] = solution.lower_bound;
  json["seconds"] = seconds;
  return json;
}

}  // namespace

absl::StatusOr<InstanceFile> ParseInstances(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("not valid JSON");
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected an object with \"instances\" or \"layers\", found ", json.type_name()));
  }
  if (const Json* format = Find(json, "format"); format != nullptr) {
    if (*format != "sluice-knapsack/1") {
      return absl::InvalidArgumentError(absl::StrCat("\"format\" is ", format->dump(-1, ' ', true),
                                                     ", expected \"sluice-knapsack/1\""));
    }
  }
  InstanceFile file;
  const Json* instances = Find(json, "instances");
  if (instances == nullptr) {
    file.single = true;
    SLUICE_ASSIGN_OR_RETURN(NamedInstance read, ReadInstance(json, "instance"));
    file.instances.push_back(std::move(read));
    return file;
  }
  if (!instances->is_array()) {
    return absl::InvalidArgumentError("\"instances\" must be an array");
  }
  for (size_t i = 0; i < instances->size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(NamedInstance read,
                            ReadInstance((*instances)[i], absl::StrCat("instance ", i)));
    file.instances.push_back(std::move(read));
  }
  return file;
}

absl::StatusOr<std::string> SolveInstancesJson(const std::string& text,
                                               const std::function<double()>& seconds_now,
                                               const KnapsackLimits& limits) {
  SLUICE_ASSIGN_OR_RETURN(const InstanceFile file, ParseInstances(text));
  std::string out;
  for (const NamedInstance& named : file.instances) {
    const double start = seconds_now();
    const absl::StatusOr<KnapsackSolution> solution = SolveKnapsack(named.instance, limits);
    const double seconds = seconds_now() - start;
    if (!solution.ok()) {
      return Annotate(solution.status(), absl::StrCat("instance \"", named.name, "\""));
    }
    if (!out.empty()) out += ",\n";
    out += Render(named.name, *solution, seconds).dump();
  }
  return file.single ? out + "\n" : absl::StrCat("[", out, "]\n");
}

}  // namespace sluice
