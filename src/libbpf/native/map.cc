// SPDX-License-Identifier: MIT
//
// Maps: single elements, batches, and memory-mapped arrays. The single-element
// calls answer a plain number (0 or -errno), as they are the hot ones.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "task.h"

namespace libbpf_ts {

namespace {

int FdOf(const Napi::CallbackInfo &info) { return IntOr(info[0], -1); }

Napi::Value Number(const Napi::CallbackInfo &info, int rc) { return Napi::Number::New(info.Env(), rc); }

// create(type, name, keySize, valueSize, maxEntries, { flags, innerMapFd, extra }) -> fd or -errno
Napi::Value Create(const Napi::CallbackInfo &info) {
  LIBBPF_OPTS(bpf_map_create_opts, options);
  if (info[5].IsObject()) {
    Napi::Object given = info[5].As<Napi::Object>();
    options.map_flags = Uint32Or(given.Get("flags"), 0);
    options.inner_map_fd = Uint32Or(given.Get("innerMapFd"), 0);
    options.map_extra = Uint64Of(given.Get("extra"));
  }
  std::string name = StringOr(info[1]);
  return Number(info, bpf_map_create(static_cast<enum bpf_map_type>(Uint32Or(info[0], 0)),
                                     name.empty() ? nullptr : name.c_str(), Uint32Or(info[2], 0),
                                     Uint32Or(info[3], 0), Uint32Or(info[4], 0), &options));
}

Napi::Value Info(const Napi::CallbackInfo &info) {
  struct bpf_map_info map = {};
  uint32_t size = sizeof(map);
  int rc = bpf_obj_get_info_by_fd(FdOf(info), &map, &size);
  if (rc) return Number(info, rc);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", map.id);
  result.Set("type", map.type);
  result.Set("name", map.name);
  result.Set("keySize", map.key_size);
  result.Set("valueSize", map.value_size);
  result.Set("maxEntries", map.max_entries);
  result.Set("flags", map.map_flags);
  return result;
}

Napi::Value FdById(const Napi::CallbackInfo &info) { return Number(info, bpf_map_get_fd_by_id(Uint32Or(info[0], 0))); }

Napi::Value NextId(const Napi::CallbackInfo &info) {
  uint32_t id = 0;
  int rc = bpf_map_get_next_id(Uint32Or(info[0], 0), &id);
  return rc ? Number(info, rc) : Napi::Number::New(info.Env(), id);
}

Napi::Value Lookup(const Napi::CallbackInfo &info) {
  return Number(info, bpf_map_lookup_elem_flags(FdOf(info), BytesOf(info[1]).data, BytesOf(info[2]).data,
                                                Uint64Of(info[3])));
}

Napi::Value LookupAndDelete(const Napi::CallbackInfo &info) {
  return Number(info, bpf_map_lookup_and_delete_elem_flags(FdOf(info), BytesOf(info[1]).data, BytesOf(info[2]).data,
                                                           Uint64Of(info[3])));
}

Napi::Value Update(const Napi::CallbackInfo &info) {
  return Number(info,
                bpf_map_update_elem(FdOf(info), BytesOf(info[1]).data, BytesOf(info[2]).data, Uint64Of(info[3])));
}

Napi::Value Delete(const Napi::CallbackInfo &info) {
  return Number(info, bpf_map_delete_elem(FdOf(info), BytesOf(info[1]).data));
}

Napi::Value NextKey(const Napi::CallbackInfo &info) {
  return Number(info, bpf_map_get_next_key(FdOf(info), BytesOf(info[1]).data, BytesOf(info[2]).data));
}

Napi::Value Freeze(const Napi::CallbackInfo &info) { return Number(info, bpf_map_freeze(FdOf(info))); }

// batch(op, fd, inBatch, outBatch, keys, values, count, elemFlags, scope) -> { rc, count }
Napi::Value Batch(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  std::string op = StringOr(info[0]);
  int fd = IntOr(info[1], -1);
  Bytes in = BytesOf(*task, info[2]);
  Bytes out = BytesOf(*task, info[3]);
  Bytes keys = BytesOf(*task, info[4]);
  Bytes values = BytesOf(*task, info[5]);
  auto count = std::make_shared<uint32_t>(Uint32Or(info[6], 0));
  auto outcome = std::make_shared<int>(0);
  uint64_t elem_flags = Uint64Of(info[7]);
  task->work = [=] {
    LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = elem_flags, .flags = 0);
    if (op == "lookup")
      *outcome = bpf_map_lookup_batch(fd, in.data, out.data, keys.data, values.data, count.get(), &options);
    else if (op == "take")
      *outcome = bpf_map_lookup_and_delete_batch(fd, in.data, out.data, keys.data, values.data, count.get(), &options);
    else if (op == "update")
      *outcome = bpf_map_update_batch(fd, keys.data, values.data, count.get(), &options);
    else
      *outcome = bpf_map_delete_batch(fd, keys.data, count.get(), &options);
    return 0;
  };
  // The count matters in failure too: so many were done before it.
  task->result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("rc", *outcome);
    result.Set("count", *count);
    return result;
  };
  return Run(info.Env(), ParseScope(info[8]), task);
}

struct Mapping {
  void *address;
  size_t length;
  bool mapped;

  void Unmap() {
    if (mapped) munmap(address, length);
    mapped = false;
  }
};

// mmap(fd, length, writable) -> { buffer, handle } or -errno
Napi::Value Mmap(const Napi::CallbackInfo &info) {
  size_t length = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
  int protection = PROT_READ | (info[2].ToBoolean() ? PROT_WRITE : 0);
  void *address = mmap(nullptr, length, protection, MAP_SHARED, FdOf(info), 0);
  if (address == MAP_FAILED) return Number(info, -errno);
  Napi::Env env = info.Env();
  // Two owners: the ArrayBuffer, whose views must never see unmapped memory, and
  // the handle, with which munmap below ends the mapping early.
  auto *mapping = new std::shared_ptr<Mapping>(new Mapping{address, length, true});
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", Napi::External<std::shared_ptr<Mapping>>::New(
                           env, new std::shared_ptr<Mapping>(*mapping),
                           [](Napi::Env, std::shared_ptr<Mapping> *data) { delete data; }));
  result.Set("buffer", Napi::ArrayBuffer::New(
                           env, address, length,
                           [](Napi::Env, void *, std::shared_ptr<Mapping> *data) {
                             (*data)->Unmap();
                             delete data;
                           },
                           mapping));
  return result;
}

// munmap({ buffer, handle }): detaches the buffer first, so every view of it is empty
void Munmap(const Napi::CallbackInfo &info) {
  Napi::Object mapped = info[0].As<Napi::Object>();
  mapped.Get("buffer").As<Napi::ArrayBuffer>().Detach();
  (*mapped.Get("handle").As<Napi::External<std::shared_ptr<Mapping>>>().Data())->Unmap();
}

}  // namespace

void InitMap(Napi::Env env, Napi::Object exports) {
  exports.Set("possibleCpus", libbpf_num_possible_cpus());
  exports.Set("mapCreate", Napi::Function::New<Create>(env));
  exports.Set("mapInfo", Napi::Function::New<Info>(env));
  exports.Set("mapFdById", Napi::Function::New<FdById>(env));
  exports.Set("mapNextId", Napi::Function::New<NextId>(env));
  exports.Set("mapLookup", Napi::Function::New<Lookup>(env));
  exports.Set("mapLookupAndDelete", Napi::Function::New<LookupAndDelete>(env));
  exports.Set("mapUpdate", Napi::Function::New<Update>(env));
  exports.Set("mapDelete", Napi::Function::New<Delete>(env));
  exports.Set("mapNextKey", Napi::Function::New<NextKey>(env));
  exports.Set("mapFreeze", Napi::Function::New<Freeze>(env));
  exports.Set("mapBatch", Napi::Function::New<Batch>(env));
  exports.Set("mapMmap", Napi::Function::New<Mmap>(env));
  exports.Set("mapMunmap", Napi::Function::New<Munmap>(env));
}

}  // namespace libbpf_ts
