#include "orchestrator/flags/command_line.h"

#include <algorithm>
#include <optional>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/flags/number_pair.h"

namespace sluice {
namespace {

// As in the registry: words joined by '_'.
std::string Underscored(absl::string_view name) { return absl::StrReplaceAll(name, {{"-", "_"}}); }

// As people type it: -np, --log-level.
std::string Dashed(absl::string_view name) {
  return absl::StrCat(name.size() <= 2 ? "-" : "--", absl::StrReplaceAll(name, {{"_", "-"}}));
}

bool LooksLikeFlag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !absl::ascii_isdigit(word[1]) &&
         !(word[1] == '.' && word.size() > 2);
}

// One word that begins with a dash, taken apart.
struct FlagWord {
  std::string name;
  std::optional<std::string> value;  // after '='
};

FlagWord TakeApart(const std::string& word) {
  const size_t start = absl::StartsWith(word, "--") ? 2 : 1;
  const size_t equals = word.find('=');
  if (equals == std::string::npos) return {Underscored(word.substr(start)), std::nullopt};
  return {Underscored(word.substr(start, equals - start)), word.substr(equals + 1)};
}

class Parser {
 public:
  Parser(const std::vector<std::string>& args, absl::Span<const absl::string_view> allowed)
      : args_(args) {
    for (absl::string_view name : allowed) allowed_.push_back(Underscored(name));
  }

  absl::StatusOr<CommandLine> Run() {
    while (next_ < args_.size()) {
      const std::string& word = args_[next_++];
      if (word == "--") {
        line_.after_dashes.assign(args_.begin() + next_, args_.end());
        break;
      }
      if (LooksLikeFlag(word)) {
        SLUICE_RETURN_IF_ERROR(TakeFlag(word));
      } else {
        line_.positional.push_back(word);
      }
    }
    return line_;
  }

 private:
  bool IsAllowed(const std::string& name) const {
    return std::find(allowed_.begin(), allowed_.end(), name) != allowed_.end();
  }

  absl::Status TakeFlag(const std::string& word) {
    FlagWord flag = TakeApart(word);
    if (flag.name == "set") {
      SLUICE_ASSIGN_OR_RETURN(std::string value, ValueOf(flag, "a value: --set key=value"));
      line_.sets.push_back(std::move(value));
      return absl::OkStatus();
    }
    if (IsAllowed(flag.name)) return SetFlag(flag);
    for (absl::string_view no : {"no_", "no"}) {  // --no-json, --nojson
      const std::string positive = flag.name.substr(std::min(no.size(), flag.name.size()));
      if (!absl::StartsWith(flag.name, no) || !IsAllowed(positive)) continue;
      SLUICE_ASSIGN_OR_RETURN(absl::CommandLineFlag * found, Find(positive));
      if (!found->IsOfType<bool>()) continue;
      if (flag.value) {
        return absl::InvalidArgumentError(
            absl::StrCat("flag ", Dashed(flag.name), " takes no value, got ", Quoted(*flag.value)));
      }
      return SetFlag({positive, "false"});
    }
    return Unknown(word);
  }

  absl::Status Unknown(const std::string& word) const {
    std::vector<std::string> names = {"set"};
    names.insert(names.end(), allowed_.begin(), allowed_.end());
    const std::string nearest = NearestWord(TakeApart(word).name, names);
    std::string shown = word.substr(0, word.find('='));
    if (!nearest.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag ", Quoted(shown),
                                                     ": did you mean \"", Dashed(nearest), "\"?"));
    }
    std::sort(names.begin(), names.end());
    for (std::string& name : names) name = Dashed(name);
    return absl::InvalidArgumentError(
        absl::StrCat("unknown flag ", Quoted(shown), ". Flags here: ", absl::StrJoin(names, ", ")));
  }

  absl::StatusOr<absl::CommandLineFlag*> Find(const std::string& name) const {
    absl::CommandLineFlag* found = absl::FindCommandLineFlag(name);
    if (found == nullptr) {
      return absl::InternalError(absl::StrCat("flag ", Dashed(name), " is not linked in"));
    }
    return found;
  }

  // The text after '=', or the next word.
  absl::StatusOr<std::string> ValueOf(const FlagWord& flag, absl::string_view expected) {
    if (flag.value) return *flag.value;
    if (next_ < args_.size() && args_[next_] != "--" && !LooksLikeFlag(args_[next_])) {
      return args_[next_++];
    }
    std::string hint;
    if (next_ < args_.size() && args_[next_] != "--") {
      hint = absl::StrCat("; for a value that begins with a dash write ", Dashed(flag.name), "=",
                          args_[next_].substr(0, 60));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("flag ", Dashed(flag.name), " needs ", expected, hint));
  }

  absl::Status SetFlag(const FlagWord& flag) {
    SLUICE_ASSIGN_OR_RETURN(absl::CommandLineFlag * found, Find(flag.name));
    std::string value = "true";
    if (flag.value || !found->IsOfType<bool>()) {
      SLUICE_ASSIGN_OR_RETURN(value, ValueOf(flag, "a value"));
    }
    if (found->IsOfType<NumberPair>() && !flag.value &&
        value.find_first_of(", :") == std::string::npos) {
      SLUICE_ASSIGN_OR_RETURN(const std::string second, ValueOf(flag, "a second number"));
      absl::StrAppend(&value, ",", second);
    }
    std::string why;
    if (found->ParseFrom(value, &why)) {
      line_.flags.emplace_back(flag.name, value);
      return absl::OkStatus();
    }
    // Abseil: "Illegal value 'x' specified for flag 'f'; reason". Ours says the first part its own
    // way.
    const size_t reason = why.find("; ");
    return absl::InvalidArgumentError(absl::StrCat(
        "flag ", Dashed(flag.name), ": bad value ", Quoted(value), Expected(*found),
        reason == std::string::npos ? "" : absl::StrCat(" (", why.substr(reason + 2), ")")));
  }

  static std::string Expected(const absl::CommandLineFlag& flag) {
    if (flag.IsOfType<bool>()) return ": expected true or false";
    if (flag.IsOfType<uint32_t>() || flag.IsOfType<uint64_t>() || flag.IsOfType<uint16_t>()) {
      return ": expected a whole number from 0 on";
    }
    if (flag.IsOfType<int>() || flag.IsOfType<int64_t>()) return ": expected a whole number";
    if (flag.IsOfType<double>() || flag.IsOfType<float>()) return ": expected a number";
    return "";
  }

  const std::vector<std::string>& args_;
  std::vector<std::string> allowed_;
  size_t next_ = 0;
  CommandLine line_;
};

}  // namespace

std::vector<std::string> CommandLine::All(absl::string_view flag) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : flags) {
    if (name == flag) values.push_back(value);
  }
  return values;
}

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args,
                                             absl::Span<const absl::string_view> allowed_flags) {
  return Parser(args, allowed_flags).Run();
}

}  // namespace sluice
