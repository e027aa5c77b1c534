#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "orchestrator/config/error_list.h"
#include "orchestrator/config/node.h"

namespace sluice {

/// Copies a tree of keys and values into a message of any type, over what the message holds, and
/// checks each key and value on the way against the descriptors and their rules.
class MessageFiller {
 public:
  /// Longest list that a repeated field takes.
  static constexpr int kMostElements = 1000;

  struct Source {
    std::string name;              ///< a file, or an option such as `--set a.b=1`
    bool has_lines = true;         ///< errors read `name:line: ...`
    bool keys_may_repeat = false;  ///< a repeated field's key may come again and then appends
  };

  /// \param errors, origins  are added to; origins maps the path of each key that was set to where
  ///                         that was, e.g. "compression.alpha" to "a.yaml:7"
  /// \param begin_element    changes an element of a list of groups, defaults set, before its keys are taken; may
  ///                         be null
  MessageFiller(Source source, ErrorList& errors, std::map<std::string, std::string>& origins,
                std::function<void(google::protobuf::Message&)> begin_element = nullptr);

  /// Takes the keys of `root`, a map or null.
  void Fill(const Node& root, google::protobuf::Message& message);

 private:
  using Field = google::protobuf::FieldDescriptor;

  void FillGroup(const Node& map, const std::string& prefix, google::protobuf::Message& message);
  void FillField(const Node& value, const std::string& path, const Field& field, bool append,
                 google::protobuf::Message& message);
  void FillValue(const Node& value, const std::string& path, const Field& field,
                 google::protobuf::Message& message);
  void Refuse(int line, absl::string_view what);
  std::string Where(int line) const;

  Source source_;
  ErrorList& errors_;
  std::map<std::string, std::string>& origins_;
  const std::function<void(google::protobuf::Message&)> begin_element_;
  const google::protobuf::Descriptor* root_type_ = nullptr;
};

}  // namespace sluice
