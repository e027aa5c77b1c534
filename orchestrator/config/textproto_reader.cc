#include "orchestrator/config/textproto_reader.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace sluice {
namespace {

using google::protobuf::io::Tokenizer;

// Keeps the tokenizer's first error, e.g. a string without its end.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (!message_.empty()) return;
    line_ = line;
    column_ = column;
    message_ = message;
  }
  const std::string& message() const { return message_; }
  int line() const { return line_; }
  int column() const { return column_; }

 private:
  std::string message_;
  int line_ = 0;
  int column_ = 0;
};

class Reader {
 public:
  Reader(absl::string_view text, absl::string_view source)
      : source_(source), input_(text.data(), text.size()), tokenizer_(&input_, &lexical_) {
    tokenizer_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokenizer_.set_allow_f_after_float(true);
    Advance();
  }

  absl::StatusOr<Node> ReadAll() {
    SLUICE_ASSIGN_OR_RETURN(Node root, Fields("", 1));
    if (!lexical_.message().empty()) return LexicalError();
    return root;
  }

 private:
  const Tokenizer::Token& token() { return tokenizer_.current(); }
  void Advance() { tokenizer_.Next(); }
  bool Take(absl::string_view symbol) {
    if (token().type != Tokenizer::TYPE_SYMBOL || token().text != symbol) return false;
    Advance();
    return true;
  }

  absl::Status LexicalError() {
    return absl::InvalidArgumentError(absl::StrCat(source_, ":", lexical_.line() + 1, ":",
                                                   lexical_.column() + 1,
                                                   ": bad text format: ", lexical_.message()));
  }
  absl::Status Expected(absl::string_view what) {
    if (!lexical_.message().empty()) return LexicalError();
    return absl::InvalidArgumentError(
        absl::StrCat(source_, ":", token().line + 1, ":", token().column + 1,
                     ": bad text format: expected ", what, ", got ",
                     token().type == Tokenizer::TYPE_END
                         ? std::string("the end of the file")
                         : absl::StrCat("\"", token().text.substr(0, 60), "\"")));
  }

  absl::StatusOr<Node> NewNode(Node::Kind kind, int depth) {
    if (depth > kMaxNodeDepth) {
      return Expected(absl::StrCat("at most ", kMaxNodeDepth, " levels of nesting"));
    }
    if (++nodes_ > kMaxNodes) return Expected(absl::StrCat("at most ", kMaxNodes, " values"));
    Node node;
    node.kind = kind;
    node.line = token().line + 1;
    return node;
  }

  // Fields up to `closer`, or to the end of the text when it is empty.
  absl::StatusOr<Node> Fields(absl::string_view closer, int depth) {
    SLUICE_ASSIGN_OR_RETURN(Node map, NewNode(Node::Kind::kMap, depth));
    while (closer.empty() ? token().type != Tokenizer::TYPE_END : !Take(closer)) {
      if (token().type != Tokenizer::TYPE_IDENTIFIER) return Expected("a key");
      SLUICE_ASSIGN_OR_RETURN(Node key, NewNode(Node::Kind::kScalar, depth));
      key.text = token().text;
      Advance();
      const bool colon = Take(":");
      const bool group = token().text == "{" || token().text == "<";
      if (!colon && !group) return Expected("\":\"");
      SLUICE_ASSIGN_OR_RETURN(Node value, Value(depth + 1));
      map.keys.push_back(std::move(key));
      map.values.push_back(std::move(value));
      if (!Take(",")) Take(";");
    }
    return map;
  }

  absl::StatusOr<Node> Value(int depth) {
    if (Take("{")) return Fields("}", depth);
    if (Take("<")) return Fields(">", depth);
    if (!Take("[")) return Scalar(depth);
    SLUICE_ASSIGN_OR_RETURN(Node list, NewNode(Node::Kind::kSequence, depth));
    if (Take("]")) return list;
    do {
      SLUICE_ASSIGN_OR_RETURN(Node item, Value(depth + 1));
      list.values.push_back(std::move(item));
    } while (Take(","));
    if (!Take("]")) return Expected("\",\" or \"]\"");
    return list;
  }

  absl::StatusOr<Node> Scalar(int depth) {
    SLUICE_ASSIGN_OR_RETURN(Node node, NewNode(Node::Kind::kScalar, depth));
    if (token().type == Tokenizer::TYPE_STRING) {
      node.quoted = true;
      for (; token().type == Tokenizer::TYPE_STRING; Advance()) {  // "a" "b" is "ab"
        if (!lexical_.message().empty()) return LexicalError();
        Tokenizer::ParseStringAppend(token().text, &node.text);
      }
      return node;
    }
    if (Take("-")) node.text = "-";
    if (token().type != Tokenizer::TYPE_IDENTIFIER && token().type != Tokenizer::TYPE_INTEGER &&
        token().type != Tokenizer::TYPE_FLOAT) {
      return Expected("a value");
    }
    node.text += token().text;
    Advance();
    return node;
  }

  std::string source_;
  FirstError lexical_;
  google::protobuf::io::ArrayInputStream input_;
  Tokenizer tokenizer_;  // reads from input_, reports to lexical_
  int nodes_ = 0;
};

}  // namespace

absl::StatusOr<Node> ReadTextproto(absl::string_view text, absl::string_view source) {
  return Reader(text, source).ReadAll();
}

}  // namespace sluice
