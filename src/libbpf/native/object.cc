// SPDX-License-Identifier: MIT
//
// BPF object files: open, adjust, load.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include <unordered_map>

#include "task.h"

namespace libbpf_ts {

namespace {

struct Object {
  struct bpf_object *object = nullptr;
  // By the name in the source. libbpf renames a map that reuses another one to
  // the 15 characters the kernel kept, so its own search by name may fail.
  std::unordered_map<std::string, struct bpf_map *> maps;
  std::vector<std::pair<std::string, struct bpf_map *>> order;

  void Close() {
    if (object) bpf_object__close(object);
    object = nullptr;
    maps.clear();
    order.clear();
  }
  ~Object() { Close(); }
};

// Global data by its section: libbpf puts part of the object's name before it.
std::string NameOf(const struct bpf_map *map) {
  std::string name = bpf_map__name(map);
  return bpf_map__is_internal(map) && name[0] != '.' ? name.substr(name.rfind('.')) : name;
}

Object &ObjectOf(const Napi::Value &value) {
  Object *object = value.As<Napi::External<Object>>().Data();
  if (!object->object) throw Napi::Error::New(value.Env(), "the BPF object is closed");
  return *object;
}

struct bpf_map *MapOf(const Napi::CallbackInfo &info) {
  Object &object = ObjectOf(info[0]);
  auto found = object.maps.find(StringOr(info[1]));
  if (found == object.maps.end()) throw Napi::Error::New(info.Env(), "no such map in the object");
  return found->second;
}

struct bpf_program *ProgramOf(const Napi::CallbackInfo &info) {
  Object &object = ObjectOf(info[0]);
  struct bpf_program *program = bpf_object__find_program_by_name(object.object, StringOr(info[1]).c_str());
  if (!program) throw Napi::Error::New(info.Env(), "no such program in the object");
  return program;
}

// open(path | bytes, name | undefined)
Napi::Value Open(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto object = std::make_shared<Object *>(new Object());
  std::string path = StringOr(info[0]);
  Bytes image = info[0].IsString() ? Bytes{} : BytesOf(*task, info[0]);
  std::string name = StringOr(info[1]);
  task->work = [=] {
    LIBBPF_OPTS(bpf_object_open_opts, options);
    if (!name.empty()) options.object_name = name.c_str();
    struct bpf_object *opened = image.data ? bpf_object__open_mem(image.data, image.size, &options)
                                           : bpf_object__open_file(path.c_str(), &options);
    int rc = libbpf_get_error(opened);
    if (!opened || rc) {
      delete *object;
      return rc ? rc : -errno;
    }
    (*object)->object = opened;
    struct bpf_map *map;
    bpf_object__for_each_map(map, opened) {
      (*object)->maps.emplace(NameOf(map), map);
      (*object)->order.emplace_back(NameOf(map), map);
    }
    return 0;
  };
  task->result = [object](Napi::Env env) -> Napi::Value {
    return Napi::External<Object>::New(env, *object, [](Napi::Env, Object *data) { delete data; });
  };
  return Run(info.Env(), Scope(), task);
}

Napi::Value Btf(const Napi::CallbackInfo &info) {
  Object &object = ObjectOf(info[0]);
  struct btf *btf = bpf_object__btf(object.object);
  uint32_t size = 0;
  const void *data = btf ? btf__raw_data(btf, &size) : nullptr;
  if (!data) return info.Env().Null();
  return CopyToBuffer(info.Env(), data, size);
}

Napi::Value Maps(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Object &object = ObjectOf(info[0]);
  Napi::Array list = Napi::Array::New(env);
  for (auto &[name, map] : object.order) {
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", name);
    item.Set("type", static_cast<uint32_t>(bpf_map__type(map)));
    item.Set("keySize", bpf_map__key_size(map));
    item.Set("valueSize", bpf_map__value_size(map));
    item.Set("maxEntries", bpf_map__max_entries(map));
    item.Set("flags", bpf_map__map_flags(map));
    item.Set("internal", bpf_map__is_internal(map));
    const char *pin = bpf_map__pin_path(map);
    item.Set("pinPath", pin ? Napi::String::New(env, pin) : env.Null());
    item.Set("fd", bpf_map__fd(map));
    list.Set(list.Length(), item);
  }
  return list;
}

Napi::Value Programs(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Object &object = ObjectOf(info[0]);
  Napi::Array list = Napi::Array::New(env);
  struct bpf_program *program;
  bpf_object__for_each_program(program, object.object) {
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", bpf_program__name(program));
    item.Set("section", bpf_program__section_name(program));
    item.Set("type", static_cast<uint32_t>(bpf_program__type(program)));
    item.Set("autoload", bpf_program__autoload(program));
    item.Set("fd", bpf_program__fd(program));
    list.Set(list.Length(), item);
  }
  return list;
}

Napi::Value MapFd(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), bpf_map__fd(MapOf(info))); }

Napi::Value ProgramFd(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), bpf_program__fd(ProgramOf(info)));
}

// configureMap(object, name, { maxEntries, pinPath, reuseFd, autocreate, innerMapFd, flags })
Napi::Value ConfigureMap(const Napi::CallbackInfo &info) {
  struct bpf_map *map = MapOf(info);
  Napi::Object change = info[2].As<Napi::Object>();
  int rc = 0;
  if (change.Get("maxEntries").IsNumber()) rc = bpf_map__set_max_entries(map, Uint32Or(change.Get("maxEntries"), 0));
  if (!rc && change.Get("valueSize").IsNumber()) rc = bpf_map__set_value_size(map, Uint32Or(change.Get("valueSize"), 0));
  if (!rc && change.Get("flags").IsNumber()) rc = bpf_map__set_map_flags(map, Uint32Or(change.Get("flags"), 0));
  if (!rc && change.Get("pinPath").IsString()) rc = bpf_map__set_pin_path(map, StringOr(change.Get("pinPath")).c_str());
  if (!rc && change.Get("pinPath").IsNull()) rc = bpf_map__set_pin_path(map, nullptr);
  if (!rc && change.Get("autocreate").IsBoolean())
    rc = bpf_map__set_autocreate(map, change.Get("autocreate").ToBoolean());
  if (!rc && change.Get("innerMapFd").IsNumber())
    rc = bpf_map__set_inner_map_fd(map, IntOr(change.Get("innerMapFd"), -1));
  if (!rc && change.Get("reuseFd").IsNumber()) rc = bpf_map__reuse_fd(map, IntOr(change.Get("reuseFd"), -1));
  return Napi::Number::New(info.Env(), rc);
}

// configureProgram(object, name, { autoload, type, expectedAttachType, flags })
Napi::Value ConfigureProgram(const Napi::CallbackInfo &info) {
  struct bpf_program *program = ProgramOf(info);
  Napi::Object change = info[2].As<Napi::Object>();
  int rc = 0;
  if (change.Get("autoload").IsBoolean())
    rc = bpf_program__set_autoload(program, change.Get("autoload").ToBoolean());
  if (!rc && change.Get("type").IsNumber())
    rc = bpf_program__set_type(program, static_cast<enum bpf_prog_type>(Uint32Or(change.Get("type"), 0)));
  if (!rc && change.Get("expectedAttachType").IsNumber())
    rc = bpf_program__set_expected_attach_type(
        program, static_cast<enum bpf_attach_type>(Uint32Or(change.Get("expectedAttachType"), 0)));
  if (!rc && change.Get("flags").IsNumber()) rc = bpf_program__set_flags(program, Uint32Or(change.Get("flags"), 0));
  return Napi::Number::New(info.Env(), rc);
}

// mapData(object, name): the initial contents of .rodata, .data, .bss
Napi::Value MapData(const Napi::CallbackInfo &info) {
  size_t size = 0;
  const void *data = bpf_map__initial_value(MapOf(info), &size);
  if (!data) return info.Env().Null();
  return CopyToBuffer(info.Env(), data, size);
}

// writeMapData(object, name, offset, bytes), before load
Napi::Value WriteMapData(const Napi::CallbackInfo &info) {
  size_t size = 0;
  // libbpf hands out the very memory it will load from; set_initial_value would
  // only copy the whole of it again.
  char *data = static_cast<char *>(const_cast<void *>(bpf_map__initial_value(MapOf(info), &size)));
  uint32_t offset = Uint32Or(info[2], 0);
  Bytes bytes = BytesOf(info[3]);
  if (!data) return Napi::Number::New(info.Env(), -ENOENT);
  if (static_cast<uint64_t>(offset) + bytes.size > size) return Napi::Number::New(info.Env(), -ERANGE);
  memcpy(data + offset, bytes.data, bytes.size);
  return Napi::Number::New(info.Env(), 0);
}

// load(object, logLevel, scope)
Napi::Value Load(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  Object &object = ObjectOf(info[0]);
  struct bpf_object *loading = object.object;
  uint32_t level = Uint32Or(info[1], 0);
  task->keep.push_back(Napi::Persistent(info[0].As<Napi::Object>()));
  task->verbose = level > 0;
  task->work = [=] {
    if (level > 0) {
      struct bpf_program *program;
      bpf_object__for_each_program(program, loading) bpf_program__set_log_level(program, level);
    }
    return bpf_object__load(loading);
  };
  Task *raw = task.get();
  task->result = [raw](Napi::Env env) -> Napi::Value { return Napi::String::New(env, raw->log); };
  return Run(info.Env(), ParseScope(info[2]), task);
}

void Close(const Napi::CallbackInfo &info) { info[0].As<Napi::External<Object>>().Data()->Close(); }

}  // namespace

void InitObject(Napi::Env env, Napi::Object exports) {
  exports.Set("objectOpen", Napi::Function::New<Open>(env));
  exports.Set("objectBtf", Napi::Function::New<Btf>(env));
  exports.Set("objectMaps", Napi::Function::New<Maps>(env));
  exports.Set("objectPrograms", Napi::Function::New<Programs>(env));
  exports.Set("objectMapFd", Napi::Function::New<MapFd>(env));
  exports.Set("objectProgramFd", Napi::Function::New<ProgramFd>(env));
  exports.Set("objectConfigureMap", Napi::Function::New<ConfigureMap>(env));
  exports.Set("objectConfigureProgram", Napi::Function::New<ConfigureProgram>(env));
  exports.Set("objectMapData", Napi::Function::New<MapData>(env));
  exports.Set("objectWriteMapData", Napi::Function::New<WriteMapData>(env));
  exports.Set("objectLoad", Napi::Function::New<Load>(env));
  exports.Set("objectClose", Napi::Function::New<Close>(env));
}

}  // namespace libbpf_ts
