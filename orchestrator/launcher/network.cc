#include "orchestrator/launcher/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

std::string ToText(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(address);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
  } else if (address->sa_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(address);
    if (!IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr)) {
      inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
    }
  }
  return text;
}

AddressList Look(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), "9", &hints, &found) != 0) found = nullptr;
  return AddressList(found, &freeaddrinfo);
}

}  // namespace

std::vector<InterfaceAddress> InterfaceAddresses() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(first, &freeifaddrs);
  std::vector<InterfaceAddress> all;
  for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    const std::string text = ToText(one->ifa_addr);
    if (!text.empty()) all.push_back({one->ifa_name, text, (one->ifa_flags & IFF_LOOPBACK) != 0});
  }
  std::stable_partition(all.begin(), all.end(), [](const InterfaceAddress& one) {
    return !absl::StrContains(one.address, ":");
  });
  return all;
}

bool IsThisHost(const std::string& host) {
  if (host == "localhost" || host == "::1" || absl::StartsWith(host, "127.")) return true;
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0 && absl::EqualsIgnoreCase(host, name)) return true;
  for (const InterfaceAddress& one : InterfaceAddresses()) {
    if (one.address == host) return true;
  }
  return false;
}

absl::StatusOr<std::string> AddressOf(const std::string& interface) {
  std::vector<std::string> known;
  for (const InterfaceAddress& one : InterfaceAddresses()) {
    if (one.interface == interface) return one.address;
    known.push_back(absl::StrCat(one.interface, " ", one.address));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "SL1011 network interface ", Quoted(interface),
      " is not here, is down, or has no address. There are: ", absl::StrJoin(known, ", ")));
}

std::string AddressTowards(const std::string& host) {
  const AddressList list = Look(host);
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own = {};
    socklen_t size = sizeof(own);
    // Connecting a datagram socket sends nothing: it only asks the routing table.
    const bool routed = connect(fd, one->ai_addr, one->ai_addrlen) == 0 &&
                        getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0;
    close(fd);
    if (!routed) continue;
    if (std::string text = ToText(reinterpret_cast<sockaddr*>(&own)); !text.empty()) return text;
  }
  for (const InterfaceAddress& one : InterfaceAddresses()) {
    if (!one.loopback) return one.address;
  }
  return "127.0.0.1";
}

std::vector<std::string> Resolve(const std::string& host) {
  std::vector<std::string> texts;
  const AddressList list = Look(host);
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    std::string text = ToText(one->ai_addr);
    if (!text.empty() && std::find(texts.begin(), texts.end(), text) == texts.end()) {
      texts.push_back(std::move(text));
    }
  }
  return texts;
}

std::string OwnerOfPort(int port) {
  // Sockets that listen (state 0A), by inode: "0: 0100007F:1F90 00000000:0000 0A ... inode".
  std::set<std::string> inodes;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      uint32_t number = 0;
      if (words.size() < 10 || words[3] != "0A" ||
          !absl::SimpleHexAtoi(words[1].substr(words[1].rfind(':') + 1), &number)) {
        continue;
      }
      if (number == static_cast<uint32_t>(port)) inodes.insert("socket:[" + words[9] + "]");
    }
  }
  if (inodes.empty()) return "";
  std::error_code ignored;
  for (const auto& process : std::filesystem::directory_iterator("/proc", ignored)) {
    int pid = 0;
    if (!absl::SimpleAtoi(process.path().filename().string(), &pid)) continue;
    std::error_code hidden;
    for (const auto& fd : std::filesystem::directory_iterator(process.path() / "fd", hidden)) {
      if (inodes.count(std::filesystem::read_symlink(fd.path(), hidden).string()) == 0) continue;
      std::string name;
      std::getline(std::ifstream(process.path() / "comm"), name);
      return absl::StrCat("pid ", pid, " (", name, ")");
    }
  }
  return "";
}

}  // namespace sluice
