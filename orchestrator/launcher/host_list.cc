#include "orchestrator/launcher/host_list.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kMostNameBytes = 253;  // of a DNS name

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

// The host as ssh takes it. A name never begins with a dash: it would be an option there.
absl::StatusOr<std::string> ParseHost(absl::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("a host is missing");
  if (text.front() == '[') {
    in6_addr address;
    char canonical[INET6_ADDRSTRLEN];
    const bool closed = text.size() > 2 && text.back() == ']';
    const std::string inner(closed ? text.substr(1, text.size() - 2) : text);
    if (!closed || inet_pton(AF_INET6, inner.c_str(), &address) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(text), " is no IPv6 address in brackets, as in [fd00::12]"));
    }
    return std::string(inet_ntop(AF_INET6, &address, canonical, sizeof(canonical)));
  }
  bool digits_and_dots = true;
  for (char c : text) {
    if (!IsNameCharacter(c)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(text),
                       " is no host: names have letters, digits, \"_\", \".\" and "
                       "\"-\"; IPv6 addresses stand in brackets"));
    }
    digits_and_dots = digits_and_dots && (absl::ascii_isdigit(c) || c == '.');
  }
  if (text.front() == '-' || text.front() == '.') {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", Quoted(text), " begins with \"", text.substr(0, 1), "\""));
  }
  if (text.size() > kMostNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", Quoted(text), " is longer than ", kMostNameBytes, " characters"));
  }
  in_addr address;
  const std::string name(text);
  if (digits_and_dots && absl::StrContains(text, ".") &&
      inet_pton(AF_INET, name.c_str(), &address) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is no IPv4 address"));
  }
  return name;
}

absl::StatusOr<int> ParseSlots(absl::string_view text, int least) {
  int slots = 0;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  if (!digits || !absl::SimpleAtoi(text, &slots) || slots < least || slots > kMostSlots) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slots ", Quoted(text), ": expected a whole number from ", least, " to ", kMostSlots));
  }
  return slots;
}

// Where the host of `host:slots` ends: the colon, behind the bracket of an IPv6 address.
size_t FindColon(absl::string_view item) {
  const size_t bracket = item.rfind(']');
  return item.find(':', bracket == item.npos ? 0 : bracket);
}

absl::StatusOr<HostSlots> ParseItem(absl::string_view item) {
  const size_t colon = FindColon(item);
  HostSlots host;
  SLUICE_ASSIGN_OR_RETURN(host.host, ParseHost(item.substr(0, colon)));
  if (colon == item.npos) return host;
  if (colon + 1 == item.size()) {
    return absl::InvalidArgumentError(absl::StrCat("number missing after ", Quoted(item)));
  }
  SLUICE_ASSIGN_OR_RETURN(host.slots, ParseSlots(item.substr(colon + 1), 1));
  return host;
}

// Remembers where each host was named. Names differ in more than case.
class Seen {
 public:
  /// \return the earlier place of `host`, if there is one
  std::optional<int> Add(const std::string& host, int place) {
    const auto [at, added] = places_.emplace(absl::AsciiStrToLower(host), place);
    return added ? std::nullopt : std::optional<int>(at->second);
  }

 private:
  std::map<std::string, int> places_;
};

// What follows the host of a line: key = value pairs, spaces around "=" allowed.
absl::Status ParseKeys(absl::string_view rest, HostSlots& host, bool& has_slots,
                       std::vector<std::string>& ignored) {
  while (true) {
    rest = absl::StripLeadingAsciiWhitespace(rest);
    if (rest.empty()) return absl::OkStatus();
    const size_t key_end = std::min(rest.find_first_of("= \t"), rest.size());
    const std::string key(rest.substr(0, key_end));
    rest = absl::StripLeadingAsciiWhitespace(rest.substr(key_end));
    if (rest.empty() || rest.front() != '=') {
      return absl::InvalidArgumentError(absl::StrCat("expected slots=N, got ", Quoted(key)));
    }
    rest = absl::StripLeadingAsciiWhitespace(rest.substr(1));
    const size_t value_end = std::min(rest.find_first_of(" \t"), rest.size());
    const absl::string_view value = rest.substr(0, value_end);
    if (key == "slots") {
      if (has_slots) return absl::InvalidArgumentError("the number of slots is given twice");
      SLUICE_ASSIGN_OR_RETURN(host.slots, ParseSlots(value, 0));
      has_slots = true;
    } else if (key == "max_slots" || key == "max-slots") {
      SLUICE_RETURN_IF_ERROR_AT(ParseSlots(value, 0).status(), key);
      ignored.push_back(absl::StrCat(key, "=", value));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown key ", Quoted(key),
                                                     DidYouMean(key, {"slots", "max_slots"}),
                                                     ". Expected HOST, HOST slots=N or HOST:N"));
    }
    rest = rest.substr(value_end);
  }
}

// One line of a host file.
struct HostLine {
  HostSlots host;
  bool has_slots = false;
  std::vector<std::string> ignored;  // keys
};

// Without its comment and the spaces around it.
absl::string_view WithoutComment(absl::string_view line) {
  return absl::StripAsciiWhitespace(line.substr(0, std::min(line.find('#'), line.size())));
}

absl::StatusOr<HostLine> ParseHostLine(absl::string_view line) {
  const size_t host_end = std::min(line.find_first_of(" \t"), line.size());
  const absl::string_view item = line.substr(0, host_end);
  auto host = ParseItem(item);
  if (!host.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(host.status().message(), ". Expected HOST, HOST slots=N or HOST:N"));
  }
  HostLine parsed;
  parsed.host = *std::move(host);
  parsed.has_slots = FindColon(item) != item.npos;
  SLUICE_RETURN_IF_ERROR(
      ParseKeys(line.substr(host_end), parsed.host, parsed.has_slots, parsed.ignored));
  return parsed;
}

}  // namespace

absl::StatusOr<std::vector<HostSlots>> ParseHostList(absl::string_view text) {
  if (text.size() > kMostBytes) return absl::InvalidArgumentError("-H: more than 1 MiB of text");
  std::vector<HostSlots> hosts;
  Seen seen;
  size_t begin = 0;
  while (true) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const absl::string_view padded = text.substr(begin, comma - begin);
    const absl::string_view left = absl::StripLeadingAsciiWhitespace(padded);
    const int position = static_cast<int>(begin + (padded.size() - left.size())) + 1;
    auto host = ParseItem(absl::StripTrailingAsciiWhitespace(left));
    if (!host.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("SL1091 -H ", Quoted(text), ": ", host.status().message(), " (character ",
                       position, "). Expected HOST:SLOTS,HOST:SLOTS, as in a01:4,a02:4"));
    }
    if (const auto earlier = seen.Add(host->host, position)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "SL1091 -H ", Quoted(text), ": host ", Quoted(host->host), " twice (characters ",
          *earlier, " and ", position, "). Name it once, with all its slots"));
    }
    hosts.push_back(*std::move(host));
    if (static_cast<int>(hosts.size()) > kMostHosts) {
      return absl::InvalidArgumentError(
          absl::StrCat("SL1091 -H: more than ", kMostHosts, " hosts"));
    }
    if (comma == text.size()) return hosts;
    begin = comma + 1;
  }
}

absl::StatusOr<HostFile> ParseHostFile(absl::string_view text, absl::string_view name) {
  HostFile file;
  Seen seen;
  int number = 0;
  text = absl::StripPrefix(text, "\xEF\xBB\xBF");  // what some editors begin UTF-8 with
  for (absl::string_view whole : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = WithoutComment(whole);
    if (line.empty()) continue;
    const auto fail = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("SL1091 ", name, ":", number, ": ", Quoted(line), ": ", why));
    };
    auto parsed = ParseHostLine(line);
    if (!parsed.ok()) return fail(parsed.status().message());
    if (const auto earlier = seen.Add(parsed->host.host, number)) {
      return fail(absl::StrCat("host ", Quoted(parsed->host.host), " twice (lines ", *earlier,
                               " and ", number, "). Name it once, with all its slots"));
    }
    for (const std::string& what : parsed->ignored) {
      file.notes.push_back(absl::StrCat(name, ":", number, ": ", what, " is ignored"));
    }
    file.hosts.push_back(std::move(parsed->host));
    if (static_cast<int>(file.hosts.size()) > kMostHosts) {
      return fail(absl::StrCat("more than ", kMostHosts, " hosts"));
    }
  }
  if (file.hosts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SL1091 ", name, ": names no host. Expected one a line, as in node01 slots=4"));
  }
  return file;
}

absl::StatusOr<HostFile> LoadHostFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("cannot read host file ", path, ": ", std::strerror(errno)));
  }
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad() || (!file.eof() && file.fail())) {
    return absl::NotFoundError(
        absl::StrCat("cannot read host file ", path, ": ", std::strerror(errno)));
  }
  if (text.size() > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat("host file ", path, " is larger than 1 MiB"));
  }
  return ParseHostFile(text, path);
}

DiscoveredHosts ParseDiscoveredHosts(absl::string_view text, int slots_per_host,
                                     absl::string_view name) {
  DiscoveredHosts found;
  Seen seen;
  int number = 0;
  for (absl::string_view whole : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = WithoutComment(whole);
    if (line.empty()) continue;
    const auto leave_out = [&](absl::string_view why) {
      found.problems.push_back({std::string(line), absl::StrCat("SL1091 ", name, ", line ", number,
                                                                " of its output: ", Quoted(line),
                                                                ": ", why, ". It is left out")});
    };
    auto parsed = ParseHostLine(line);
    if (!parsed.ok()) {
      leave_out(parsed.status().message());
      continue;
    }
    if (!parsed->has_slots && slots_per_host < 1) {
      leave_out("how many workers may run there? Print HOST:N, or give --slots-per-host N");
      continue;
    }
    if (const auto earlier = seen.Add(parsed->host.host, number)) {
      leave_out(absl::StrCat("line ", *earlier, " has this host already"));
      continue;
    }
    if (!parsed->has_slots) parsed->host.slots = slots_per_host;
    if (static_cast<int>(found.hosts.size()) == kMostHosts) {
      leave_out(absl::StrCat("more than ", kMostHosts, " hosts"));
      break;
    }
    found.hosts.push_back(std::move(parsed->host));
  }
  return found;
}

std::string ToString(const std::vector<HostSlots>& hosts) {
  constexpr size_t kMostShown = 32;
  std::vector<std::string> words;
  for (const HostSlots& host : hosts) {
    if (words.size() == kMostShown) {
      words.push_back(absl::StrCat("and ", hosts.size() - kMostShown, " more"));
      break;
    }
    words.push_back(absl::StrCat(host.host, " ", host.slots));
  }
  return absl::StrJoin(words, ", ");
}

}  // namespace sluice
