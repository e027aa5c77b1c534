#include "policies/records/records.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "policies/compression/codec_name.h"

namespace sluice {
namespace {

// Layers of a plan keep the order of the file.
using Json = nlohmann::ordered_json;

enum class Need { kMust, kMay };

/// One JSON object, field by field. The first thing wrong is kept; what is read after it is zero.
class ObjectReader {
 public:
  /// \param status  shared by the readers of one line
  ObjectReader(const Json& json, std::string where, absl::Status& status)
      : json_(json), where_(std::move(where)), status_(status) {
    if (!json_.is_object()) Complain(absl::StrCat("expected an object, found ", json_.type_name()));
  }

  bool Has(const char* key) const { return json_.is_object() && json_.contains(key); }

  double Number(const char* key, Need need) {
    const Json* value = Get(key, need);
    if (value == nullptr) return 0;
    return ToNumber(*value, key);
  }

  int64_t Integer(const char* key, Need need, int64_t least, int64_t most) {
    const Json* value = Get(key, need);
    if (value == nullptr) return 0;
    const bool fits =
        value->is_number_integer() &&
        !(value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(most)) &&
        value->get<int64_t>() >= least && value->get<int64_t>() <= most;
    if (fits) return value->get<int64_t>();
    Complain(key, absl::StrCat("an integer from ", least, " to ", most), *value);
    return 0;
  }

  bool Bool(const char* key, Need need) {
    const Json* value = Get(key, need);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    Complain(key, "true or false", *value);
    return false;
  }

  std::string String(const char* key, Need need) {
    const Json* value = Get(key, need);
    if (value == nullptr) return "";
    if (value->is_string()) return value->get<std::string>();
    Complain(key, "a string", *value);
    return "";
  }

  /// Empty when it is missing.
  const Json& Array(const char* key, Need need) {
    static const Json* const none = new Json(Json::array());
    const Json* value = Get(key, need);
    if (value == nullptr) return *none;
    if (value->is_array()) return *value;
    Complain(key, "an array", *value);
    return *none;
  }

  /// Numbers, appended.
  template <class Repeated>
  void Numbers(const char* key, Need need, Repeated* into) {
    for (const Json& value : Array(key, need)) into->Add(ToNumber(value, key));
  }

  void Complain(absl::string_view what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": ", what));
  }

 private:
  const Json* Get(const char* key, Need need) {
    if (Has(key)) return &json_.at(key);
    if (need == Need::kMust) Complain(absl::StrCat(key, " is missing"));
    return nullptr;
  }

  // JSON has no NaN: null stands for it.
  double ToNumber(const Json& value, const char* key) {
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    if (value.is_number()) return value.get<double>();
    Complain(key, "a number or null", value);
    return 0;
  }

  void Complain(const char* key, absl::string_view expected, const Json& found) {
    constexpr size_t kShown = 40;
    const std::string text = found.dump(-1, ' ', true, Json::error_handler_t::replace);
    Complain(absl::StrCat(key, ": expected ", expected, ", found ", text.substr(0, kShown),
                          text.size() > kShown ? "..." : ""));
  }

  const Json& json_;
  const std::string where_;
  absl::Status& status_;
};

constexpr int64_t kMostInt = std::numeric_limits<int64_t>::max();
constexpr int64_t kMostInt32 = std::numeric_limits<int32_t>::max();

proto::CodecChoice Codec(const std::string& name, const char* field, ObjectReader& at) {
  absl::StatusOr<proto::CodecChoice> codec = ParseCodecName(name);
  if (codec.ok()) return *std::move(codec);
  at.Complain(absl::StrCat(field, ": ", codec.status().message()));
  return proto::CodecChoice();
}

void FillLayer(const Json& json, const std::string& where, absl::Status& status,
               proto::LayerStatistics* layer) {
  ObjectReader at(json, where, status);
  layer->set_name(at.String("name", Need::kMust));
  layer->set_elements(at.Integer("elements", Need::kMust, 0, kMostInt));
  layer->set_eligible(at.Bool("eligible", Need::kMust));
  layer->set_squared_norm(at.Number("squared_norm", Need::kMust));
  if (at.Has("lost_squared_error")) {
    layer->set_lost_squared_error(at.Number("lost_squared_error", Need::kMust));
  }
  layer->set_error_ratio(at.Number("error_ratio", Need::kMay));
  layer->set_bucket(static_cast<int32_t>(at.Integer("bucket", Need::kMay, 0, kMostInt32)));
  const Json& shape = at.Array("shape", Need::kMay);
  for (const Json& extent : shape) {
    if (!extent.is_number_integer()) at.Complain("shape: expected integers");
    if (status.ok()) layer->add_shape(extent.get<int64_t>());
  }
  const Json& options = at.Array("options", Need::kMust);
  for (size_t c = 0; c < options.size() && status.ok(); ++c) {
    ObjectReader option_at(options[c], absl::StrCat(where, ", options[", c, "]"), status);
    proto::OptionStatistics& option = *layer->add_options();
    const std::string codec = option_at.String("codec", Need::kMust);
    if (status.ok()) *option.mutable_codec() = Codec(codec, "codec", option_at);
    option.set_squared_error(option_at.Number("squared_error", Need::kMust));
    option.set_wire_bytes(option_at.Number("wire_bytes", Need::kMust));
    option.set_codec_seconds(option_at.Number("codec_seconds", Need::kMay));
  }
}

absl::StatusOr<proto::WindowStatistics> ToWindow(const Json& json, const std::string& where) {
  absl::Status status;
  ObjectReader at(json, where, status);
  proto::WindowStatistics window;
  window.set_window(at.Integer("window", Need::kMust, 0, kMostInt));
  window.set_last_step(at.Integer("last_step", Need::kMust, 0, kMostInt));
  window.set_profile_seconds(at.Number("profile_seconds", Need::kMay));
  window.set_fixed_wire_bytes(at.Number("fixed_wire_bytes", Need::kMust));
  window.set_world_size(static_cast<int32_t>(at.Integer("world_size", Need::kMay, 0, kMostInt32)));
  window.set_alpha(at.Number("alpha", Need::kMay));
  if (at.Has("times")) {
    ObjectReader times_at(json.at("times"), where + ", times", status);
    proto::TimeStatistics& times = *window.mutable_times();
    times_at.Numbers("ready_seconds", Need::kMust, times.mutable_ready_seconds());
    times.set_backward_seconds(times_at.Number("backward_seconds", Need::kMust));
    times.set_latency_seconds(times_at.Number("latency_seconds", Need::kMust));
    times.set_bytes_per_second(times_at.Number("bytes_per_second", Need::kMust));
  }
  const Json& layers = at.Array("layers", Need::kMust);
  for (size_t l = 0; l < layers.size() && status.ok(); ++l) {
    FillLayer(layers[l], absl::StrCat(where, ": layers[", l, "]"), status, window.add_layers());
  }
  SLUICE_RETURN_IF_ERROR(status);
  return window;
}

absl::StatusOr<proto::CompressionPolicy> ToPolicy(const Json& json, const std::string& where) {
  absl::Status status;
  ObjectReader at(json, where, status);
  proto::CompressionPolicy policy;
  policy.set_version(static_cast<uint32_t>(
      at.Integer("version", Need::kMust, 0, std::numeric_limits<uint32_t>::max())));
  policy.set_effective_step(at.Integer("effective_step", Need::kMust, 0, kMostInt));
  policy.set_predicted_bytes(at.Number("predicted_bytes", Need::kMay));
  policy.set_uniform_bytes(at.Number("uniform_bytes", Need::kMay));
  policy.set_lower_bound_bytes(at.Number("lower_bound_bytes", Need::kMay));
  policy.set_error(at.Number("error", Need::kMay));
  policy.set_budget(at.Number("budget", Need::kMay));
  policy.set_alpha(at.Number("alpha", Need::kMay));
  policy.set_solve_seconds(at.Number("solve_seconds", Need::kMay));
  policy.set_reason(at.String("reason", Need::kMay));
  if (at.Has("predicted_exposed_seconds")) {
    policy.set_exposed_seconds(at.Number("predicted_exposed_seconds", Need::kMust));
    policy.set_raw_exposed_seconds(at.Number("predicted_raw_exposed_seconds", Need::kMust));
  }
  if (!at.Has("layers")) at.Complain("layers is missing");
  SLUICE_RETURN_IF_ERROR(status);
  ObjectReader layers_at(json.at("layers"), where + ", layers", status);
  SLUICE_RETURN_IF_ERROR(status);
  for (const auto& [name, value] : json.at("layers").items()) {
    const std::string codec = layers_at.String(name.c_str(), Need::kMust);
    SLUICE_RETURN_IF_ERROR(status);
    proto::LayerChoice& layer = *policy.add_layers();
    layer.set_name(name);
    *layer.mutable_codec() = Codec(codec, name.c_str(), layers_at);
  }
  SLUICE_RETURN_IF_ERROR(status);
  return policy;
}

template <class Record>
absl::StatusOr<Recording<Record>> Parse(
    absl::string_view text, absl::string_view name,
    absl::StatusOr<Record> (*convert)(const Json& json, const std::string& where)) {
  Recording<Record> recording;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const bool ended = end != absl::string_view::npos;
    const absl::string_view line = text.substr(0, end);
    text.remove_prefix(ended ? end + 1 : text.size());
    if (line.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    const std::string where = absl::StrCat(name, ":", number);
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) {
      if (ended) return absl::InvalidArgumentError(absl::StrCat(where, ": not valid JSON"));
      recording.warning = absl::StrCat(where, ": the last line is cut off, it is left out");
      break;
    }
    SLUICE_ASSIGN_OR_RETURN(Record record, convert(json, where));
    recording.records.push_back(std::move(record));
  }
  return recording;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": it is a directory"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return text;
}

}  // namespace

absl::StatusOr<Recording<proto::WindowStatistics>> ParseStatistics(absl::string_view text,
                                                                   absl::string_view name) {
  return Parse<proto::WindowStatistics>(text, name, ToWindow);
}

absl::StatusOr<Recording<proto::CompressionPolicy>> ParsePolicies(absl::string_view text,
                                                                  absl::string_view name) {
  return Parse<proto::CompressionPolicy>(text, name, ToPolicy);
}

absl::StatusOr<Recording<proto::WindowStatistics>> ReadStatistics(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  return ParseStatistics(text, path);
}

absl::StatusOr<Recording<proto::CompressionPolicy>> ReadPolicies(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  return ParsePolicies(text, path);
}

}  // namespace sluice
