#include "training/safetensors.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kMetadata[] = "__metadata__";
constexpr uint64_t kMostHeaderBytes = 100'000'000;  // as other readers

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

// 0: none of that name.
int64_t BytesOf(absl::string_view dtype) {
  static constexpr struct {
    absl::string_view name;
    int64_t bytes;
  } kTypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  for (const auto& type : kTypes) {
    if (type.name == dtype) return type.bytes;
  }
  return 0;
}

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("safetensors: ", what));
}

bool IsCount(const Json& number) {
  return number.is_number_integer() &&
         (number.is_number_unsigned() || number.get<int64_t>() >= 0) &&
         number.get<uint64_t>() <= uint64_t{1} << 62;
}

absl::StatusOr<SafeTensor> ReadTensor(const std::string& name, const Json& entry,
                                      absl::string_view data, uint64_t* position) {
  const auto damaged = [&](absl::string_view what) {
    return Damaged(absl::StrCat("tensor ", name, ": ", what));
  };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
      !entry.contains("shape") || !entry["shape"].is_array() || !entry.contains("data_offsets") ||
      !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2 ||
      !IsCount(entry["data_offsets"][0]) || !IsCount(entry["data_offsets"][1])) {
    return damaged("expected dtype, shape and two data_offsets");
  }
  SafeTensor tensor;
  tensor.name = name;
  tensor.dtype = entry["dtype"].get<std::string>();
  int64_t bytes = BytesOf(tensor.dtype);
  if (bytes == 0) return damaged("of an unknown dtype");
  for (const Json& extent : entry["shape"]) {
    if (!IsCount(extent)) return damaged("an extent that is no count");
    tensor.shape.push_back(extent.get<int64_t>());
    if (__builtin_mul_overflow(bytes, tensor.shape.back(), &bytes)) return damaged("too large");
  }
  const auto begin = entry["data_offsets"][0].get<uint64_t>();
  const auto end = entry["data_offsets"][1].get<uint64_t>();
  if (begin != *position || end < begin || end > data.size() ||
      end - begin != static_cast<uint64_t>(bytes)) {
    return damaged(absl::StrCat("bytes [", begin, ", ", end, ") of ", data.size(), ", expected ",
                                bytes, " bytes from ", *position, " on"));
  }
  tensor.bytes = data.substr(begin, end - begin);
  *position = end;
  return tensor;
}

}  // namespace

const SafeTensor* SafeTensors::Find(absl::string_view name) const {
  for (const SafeTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

std::string WriteSafeTensors(const SafeTensors& tensors) {
  Json header = Json::object();
  if (!tensors.metadata.empty()) header[kMetadata] = tensors.metadata;
  uint64_t position = 0;
  for (const SafeTensor& tensor : tensors.tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {position, position + tensor.bytes.size()}}};
    position += tensor.bytes.size();
  }
  // Names and texts may be any bytes; what is not UTF-8 is replaced.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string out;
  out.reserve(sizeof(length) + text.size() + position);
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  out += text;
  for (const SafeTensor& tensor : tensors.tensors) {
    out.append(tensor.bytes.data(), tensor.bytes.size());
  }
  return out;
}

absl::StatusOr<SafeTensors> ReadSafeTensors(absl::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) return Damaged("shorter than the length of its header");
  std::memcpy(&length, bytes.data(), sizeof(length));
  bytes.remove_prefix(sizeof(length));
  if (length > bytes.size() || length > kMostHeaderBytes) {
    return Damaged(absl::StrCat("header of ", length, " bytes, ", bytes.size(), " are left"));
  }
  const absl::string_view text = bytes.substr(0, length);
  const absl::string_view data = bytes.substr(length);
  const Json header = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Damaged("its header is no JSON object");
  SafeTensors tensors;
  uint64_t position = 0;
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadata) {
      SLUICE_ASSIGN_OR_RETURN(SafeTensor tensor, ReadTensor(name, entry, data, &position));
      tensors.tensors.push_back(std::move(tensor));
      continue;
    }
    if (!entry.is_object()) return Damaged("its __metadata__ is no JSON object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) return Damaged("a value of its __metadata__ is no text");
      tensors.metadata[key] = value.get<std::string>();
    }
  }
  if (position != data.size()) {
    return Damaged(absl::StrCat(data.size() - position, " bytes after its last tensor"));
  }
  return tensors;
}

}  // namespace sluice
