// SPDX-License-Identifier: MIT
//
// What a program over packets has to know about a network namespace: its
// devices, and the address the kernel would send from; and its sysctls.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "task.h"

namespace libbpf_ts {

namespace {

struct Interface {
  uint32_t ifindex = 0;
  uint32_t flags = 0;
  uint32_t mtu = 0;
  uint32_t master = 0;
  uint32_t type = 0;
  std::string name;
  std::string kind;
  std::string mac;
};

std::string FormatMac(const uint8_t *bytes, size_t length) {
  std::string text;
  char pair[4];
  for (size_t i = 0; i < length; i++) {
    snprintf(pair, sizeof(pair), i ? ":%02x" : "%02x", bytes[i]);
    text += pair;
  }
  return text;
}

void ParseInterface(const struct nlmsghdr *message, std::vector<Interface> &found) {
  auto *link = static_cast<struct ifinfomsg *>(NLMSG_DATA(message));
  Interface item;
  item.ifindex = link->ifi_index;
  item.flags = link->ifi_flags;
  item.type = link->ifi_type;
  int left = static_cast<int>(message->nlmsg_len) - NLMSG_LENGTH(sizeof(*link));
  for (struct rtattr *attr = IFLA_RTA(link); RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
    void *data = RTA_DATA(attr);
    size_t size = RTA_PAYLOAD(attr);
    switch (attr->rta_type & NLA_TYPE_MASK) {
      case IFLA_IFNAME:
        item.name = static_cast<char *>(data);
        break;
      case IFLA_MTU:
        memcpy(&item.mtu, data, sizeof(item.mtu));
        break;
      case IFLA_MASTER:
        memcpy(&item.master, data, sizeof(item.master));
        break;
      case IFLA_ADDRESS:
        item.mac = FormatMac(static_cast<uint8_t *>(data), size);
        break;
      case IFLA_LINKINFO: {
        int inner = static_cast<int>(size);
        for (auto *kind = static_cast<struct rtattr *>(data); RTA_OK(kind, inner); kind = RTA_NEXT(kind, inner))
          if (kind->rta_type == IFLA_INFO_KIND)
            item.kind = std::string(static_cast<char *>(RTA_DATA(kind)),
                                    strnlen(static_cast<char *>(RTA_DATA(kind)), RTA_PAYLOAD(kind)));
        break;
      }
    }
  }
  found.push_back(item);
}

int DumpInterfaces(std::vector<Interface> &found) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
  } request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.link.ifi_family = AF_UNSPEC;
  int rc = 0;
  bool done = false;
  if (send(fd, &request, sizeof(request), 0) < 0) rc = -errno;
  std::vector<uint8_t> buffer(256 * 1024);
  while (!rc && !done) {
    ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0) {
      if (errno == EINTR) continue;
      rc = -errno;
      break;
    }
    int left = static_cast<int>(size);
    auto *message = reinterpret_cast<struct nlmsghdr *>(buffer.data());
    for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) {
        done = true;
        break;
      }
      if (message->nlmsg_type == NLMSG_ERROR) {
        rc = static_cast<struct nlmsgerr *>(NLMSG_DATA(message))->error;
        done = true;
        break;
      }
      if (message->nlmsg_type == RTM_NEWLINK) ParseInterface(message, found);
    }
  }
  close(fd);
  return rc;
}

// listInterfaces(scope)
Napi::Value ListInterfaces(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto found = std::make_shared<std::vector<Interface>>();
  task->work = [found] { return DumpInterfaces(*found); };
  task->result = [found](Napi::Env env) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env);
    for (const Interface &item : *found) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("ifindex", item.ifindex);
      object.Set("name", item.name);
      object.Set("mac", item.mac);
      object.Set("mtu", item.mtu);
      object.Set("flags", item.flags);
      object.Set("type", item.type);
      if (item.master) object.Set("master", item.master);
      if (!item.kind.empty()) object.Set("kind", item.kind);
      list.Set(list.Length(), object);
    }
    return list;
  };
  return Run(info.Env(), ParseScope(info[0]), task);
}

// ifindexOf(name, scope)
Napi::Value IfindexOf(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto ifindex = std::make_shared<uint32_t>(0);
  std::string name = StringOr(info[0]);
  task->work = [=] {
    *ifindex = if_nametoindex(name.c_str());
    return *ifindex ? 0 : -errno;
  };
  task->result = [ifindex](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *ifindex); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// sourceAddress(address, scope) -> text. Connecting a UDP socket sends nothing,
// it only makes the kernel choose a route and with it a source.
Napi::Value SourceAddress(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto source = std::make_shared<std::string>();
  std::string address = StringOr(info[0]);
  task->work = [=] {
    union {
      struct sockaddr any;
      struct sockaddr_in v4;
      struct sockaddr_in6 v6;
    } peer, self;
    memset(&peer, 0, sizeof(peer));
    memset(&self, 0, sizeof(self));
    bool is_v6 = inet_pton(AF_INET6, address.c_str(), &peer.v6.sin6_addr) == 1;
    if (is_v6) {
      peer.v6.sin6_family = AF_INET6;
      peer.v6.sin6_port = htons(9);
    } else {
      memset(&peer, 0, sizeof(peer));
      if (inet_pton(AF_INET, address.c_str(), &peer.v4.sin_addr) != 1) return -EINVAL;
      peer.v4.sin_family = AF_INET;
      peer.v4.sin_port = htons(9);
    }
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    socklen_t size = is_v6 ? sizeof(peer.v6) : sizeof(peer.v4);
    int rc = 0;
    if (connect(fd, &peer.any, size) || getsockname(fd, &self.any, &size)) rc = -errno;
    close(fd);
    if (rc) return rc;
    char text[INET6_ADDRSTRLEN];
    const void *raw = is_v6 ? static_cast<void *>(&self.v6.sin6_addr) : static_cast<void *>(&self.v4.sin_addr);
    *source = inet_ntop(is_v6 ? AF_INET6 : AF_INET, raw, text, sizeof(text));
    return 0;
  };
  task->result = [source](Napi::Env env) -> Napi::Value { return Napi::String::New(env, *source); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// sysctlSet(path, value, scope). /proc/sys/net shows the namespace of the thread
// that opens a file there.
Napi::Value SysctlSet(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  std::string path = StringOr(info[0]);
  std::string value = StringOr(info[1]);
  task->work = [=] {
    int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int rc = write(fd, value.data(), value.size()) < 0 ? -errno : 0;
    close(fd);
    return rc;
  };
  return Run(info.Env(), ParseScope(info[2]), task);
}

// sysctlGet(path, scope) -> text, without the line end.
Napi::Value SysctlGet(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto text = std::make_shared<std::string>();
  std::string path = StringOr(info[0]);
  task->work = [=] {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    char buffer[256];
    ssize_t bytes = read(fd, buffer, sizeof(buffer));
    int rc = bytes < 0 ? -errno : 0;
    close(fd);
    while (bytes > 0 && buffer[bytes - 1] == '\n') bytes--;
    if (bytes > 0) text->assign(buffer, static_cast<size_t>(bytes));
    return rc;
  };
  task->result = [text](Napi::Env env) -> Napi::Value { return Napi::String::New(env, *text); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// netnsCookie(scope) -> bigint. Unlike the inode number it is never given twice.
Napi::Value NetnsCookie(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto cookie = std::make_shared<uint64_t>(0);
  task->work = [=] {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    socklen_t size = sizeof(*cookie);
    constexpr int kSoNetnsCookie = 71;  // Linux 5.14; the C library's headers may not have it.
    int rc = getsockopt(fd, SOL_SOCKET, kSoNetnsCookie, cookie.get(), &size) ? -errno : 0;
    close(fd);
    return rc;
  };
  task->result = [cookie](Napi::Env env) -> Napi::Value { return Napi::BigInt::New(env, *cookie); };
  return Run(info.Env(), ParseScope(info[0]), task);
}

}  // namespace

void InitNet(Napi::Env env, Napi::Object exports) {
  exports.Set("listInterfaces", Napi::Function::New<ListInterfaces>(env));
  exports.Set("ifindexOf", Napi::Function::New<IfindexOf>(env));
  exports.Set("sourceAddress", Napi::Function::New<SourceAddress>(env));
  exports.Set("netnsCookie", Napi::Function::New<NetnsCookie>(env));
  exports.Set("sysctlGet", Napi::Function::New<SysctlGet>(env));
  exports.Set("sysctlSet", Napi::Function::New<SysctlSet>(env));
}

}  // namespace libbpf_ts
