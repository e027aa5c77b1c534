#include "orchestrator/config/job_writer.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "orchestrator/config/field_value.h"
#include "xxhash.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Plain where YAML cannot take it for anything but this text, else in double quotes.
std::string TextValue(const std::string& text) {
  bool plain = !text.empty() && (absl::ascii_isalpha(text[0]) || text[0] == '/');
  for (unsigned char c : text) {
    plain = plain && (absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/');
  }
  if (plain && absl::AsciiStrToLower(text) != "null") return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// Element `index` of a repeated field; the value of a singular one when `index` is -1.
std::string ValueText(const Message& message, const FieldDescriptor& field, int index) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
#define SLUICE_GET_(Type)                            \
  (index < 0 ? reflection.Get##Type(message, &field) \
             : reflection.GetRepeated##Type(message, &field, index))
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(SLUICE_GET_(Int32));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(SLUICE_GET_(Int64));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(SLUICE_GET_(UInt32));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(SLUICE_GET_(UInt64));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberText(SLUICE_GET_(Double));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return NumberText(SLUICE_GET_(Float));
    case FieldDescriptor::CPPTYPE_BOOL:
      return SLUICE_GET_(Bool) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return SLUICE_GET_(Enum)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return TextValue(SLUICE_GET_(String));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
#undef SLUICE_GET_
  return "";
}

void AppendGroup(const Message& message, const std::string& indent, std::string& yaml) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    absl::StrAppend(&yaml, indent, field.name(), ":");
    const bool is_group = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_group && field.is_repeated()) {
      const int elements = reflection.FieldSize(message, &field);
      yaml += elements == 0 ? " []\n" : "\n";
      for (int k = 0; k < elements; ++k) {
        const size_t begin = yaml.size();
        AppendGroup(reflection.GetRepeatedMessage(message, &field, k), indent + "    ", yaml);
        yaml[begin + indent.size() + 2] = '-';
      }
    } else if (is_group) {
      yaml += '\n';
      AppendGroup(reflection.GetMessage(message, &field), indent + "  ", yaml);
    } else if (field.is_repeated()) {
      std::vector<std::string> values;
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        values.push_back(ValueText(message, field, k));
      }
      absl::StrAppend(&yaml, " [", absl::StrJoin(values, ", "), "]\n");
    } else {
      absl::StrAppend(&yaml, " ", ValueText(message, field, -1), "\n");
    }
  }
}

}  // namespace

std::string JobToYaml(const proto::JobConfig& job) {
  std::string yaml;
  AppendGroup(job, "", yaml);
  return yaml;
}

uint64_t JobDigest(const proto::JobConfig& job) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    job.SerializeToCodedStream(&coded);
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace sluice
