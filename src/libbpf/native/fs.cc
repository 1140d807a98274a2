// SPDX-License-Identifier: MIT
//
// bpffs: pins and the directories they live in, and the plain descriptor calls
// Node does not offer. Every path is resolved in the scope's mount namespace.
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include "task.h"

namespace libbpf_ts {

namespace {

Napi::Value RunForFd(const Napi::CallbackInfo &info, const Napi::Value &scope, std::function<int()> open) {
  auto task = std::make_shared<Task>();
  auto fd = std::make_shared<int>(-1);
  task->work = [=] {
    *fd = open();
    return *fd < 0 ? *fd : 0;
  };
  task->result = [fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *fd); };
  return Run(info.Env(), ParseScope(scope), task);
}

// objectPin(fd, path, scope)
Napi::Value Pin(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  int fd = IntOr(info[0], -1);
  std::string path = StringOr(info[1]);
  task->work = [=] { return bpf_obj_pin(fd, path.c_str()); };
  return Run(info.Env(), ParseScope(info[2]), task);
}

// objectGet(path, fileFlags, scope) -> fd
Napi::Value Get(const Napi::CallbackInfo &info) {
  std::string path = StringOr(info[0]);
  uint32_t flags = Uint32Or(info[1], 0);
  return RunForFd(info, info[2], [=] {
    LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = flags);
    return bpf_obj_get_opts(path.c_str(), &options);
  });
}

// fsList(path, scope) -> [{ name, directory }]
Napi::Value List(const Napi::CallbackInfo &info) {
  struct Entry {
    std::string name;
    bool directory;
  };
  auto task = std::make_shared<Task>();
  auto entries = std::make_shared<std::vector<Entry>>();
  std::string path = StringOr(info[0]);
  task->work = [=] {
    DIR *dir = opendir(path.c_str());
    if (!dir) return -errno;
    while (struct dirent *entry = readdir(dir)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") entries->push_back({name, entry->d_type == DT_DIR});
    }
    closedir(dir);
    return 0;
  };
  task->result = [entries](Napi::Env env) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env);
    for (const Entry &entry : *entries) {
      Napi::Object item = Napi::Object::New(env);
      item.Set("name", entry.name);
      item.Set("directory", entry.directory);
      list.Set(list.Length(), item);
    }
    return list;
  };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// fsMkdir(path, scope): with its parents; an existing directory is fine
Napi::Value Mkdir(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  std::string path = StringOr(info[0]);
  task->work = [=] {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return -error.value();
  };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// fsRemove(path, recursive, scope) -> whether there was anything
Napi::Value Remove(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto existed = std::make_shared<bool>(false);
  std::string path = StringOr(info[0]);
  bool recursive = info[1].ToBoolean();
  task->work = [=] {
    std::error_code error;
    if (recursive)
      *existed = std::filesystem::remove_all(path, error) > 0;
    else
      *existed = std::filesystem::remove(path, error);
    return -error.value();
  };
  task->result = [existed](Napi::Env env) -> Napi::Value { return Napi::Boolean::New(env, *existed); };
  return Run(info.Env(), ParseScope(info[2]), task);
}

// fsRename(from, to, scope)
Napi::Value Rename(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  std::string from = StringOr(info[0]);
  std::string to = StringOr(info[1]);
  task->work = [=] { return rename(from.c_str(), to.c_str()) ? -errno : 0; };
  return Run(info.Env(), ParseScope(info[2]), task);
}

// fsIsBpf(path, scope): whether the path lies on a bpf file system
Napi::Value IsBpf(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto yes = std::make_shared<bool>(false);
  std::string path = StringOr(info[0]);
  task->work = [=] {
    struct statfs fs;
    if (statfs(path.c_str(), &fs)) return -errno;
    *yes = static_cast<uint32_t>(fs.f_type) == BPF_FS_MAGIC;
    return 0;
  };
  task->result = [yes](Napi::Env env) -> Napi::Value { return Napi::Boolean::New(env, *yes); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// fsMountBpf(path, scope)
Napi::Value MountBpf(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  std::string path = StringOr(info[0]);
  task->work = [=] { return mount("bpf", path.c_str(), "bpf", 0, "mode=0700") ? -errno : 0; };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// fsOpen(path, scope) -> fd, for locking
Napi::Value Open(const Napi::CallbackInfo &info) {
  std::string path = StringOr(info[0]);
  return RunForFd(info, info[1], [=] {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
  });
}

// flock(fd, wait) -> 0 or -errno; -EAGAIN when it is held and wait is false
Napi::Value Flock(const Napi::CallbackInfo &info) {
  int operation = LOCK_EX | (info[1].ToBoolean() ? 0 : LOCK_NB);
  int rc = flock(IntOr(info[0], -1), operation) ? -errno : 0;
  return Napi::Number::New(info.Env(), rc);
}

Napi::Value Funlock(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), flock(IntOr(info[0], -1), LOCK_UN) ? -errno : 0);
}

Napi::Value Sleep(const Napi::CallbackInfo &info) {
  usleep(Uint32Or(info[0], 0) * 1000);
  return info.Env().Undefined();
}

Napi::Value Dup(const Napi::CallbackInfo &info) {
  int fd = fcntl(IntOr(info[0], -1), F_DUPFD_CLOEXEC, 3);
  return Napi::Number::New(info.Env(), fd < 0 ? -errno : fd);
}

Napi::Value Close(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), close(IntOr(info[0], -1)) ? -errno : 0);
}

}  // namespace

void InitFs(Napi::Env env, Napi::Object exports) {
  exports.Set("objectPin", Napi::Function::New<Pin>(env));
  exports.Set("objectGet", Napi::Function::New<Get>(env));
  exports.Set("fsList", Napi::Function::New<List>(env));
  exports.Set("fsMkdir", Napi::Function::New<Mkdir>(env));
  exports.Set("fsRemove", Napi::Function::New<Remove>(env));
  exports.Set("fsRename", Napi::Function::New<Rename>(env));
  exports.Set("fsIsBpf", Napi::Function::New<IsBpf>(env));
  exports.Set("fsMountBpf", Napi::Function::New<MountBpf>(env));
  exports.Set("fsOpen", Napi::Function::New<Open>(env));
  exports.Set("flock", Napi::Function::New<Flock>(env));
  exports.Set("funlock", Napi::Function::New<Funlock>(env));
  exports.Set("sleep", Napi::Function::New<Sleep>(env));
  exports.Set("fdDup", Napi::Function::New<Dup>(env));
  exports.Set("fdClose", Napi::Function::New<Close>(env));
}

}  // namespace libbpf_ts
