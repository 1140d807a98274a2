// SPDX-License-Identifier: MIT
//
// Attaching programs to network devices: links (XDP, tcx) and, for kernels
// before tcx, filters on the clsact qdisc.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "task.h"

namespace libbpf_ts {

namespace {

// linkCreate(programFd, ifindex, attachType, flags, scope) -> fd
Napi::Value Create(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto fd = std::make_shared<int>(-1);
  int program = IntOr(info[0], -1);
  int target = IntOr(info[1], 0);
  auto type = static_cast<enum bpf_attach_type>(Uint32Or(info[2], 0));
  uint32_t flags = Uint32Or(info[3], 0);
  task->work = [=] {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
    *fd = bpf_link_create(program, target, type, &options);
    return *fd < 0 ? *fd : 0;
  };
  task->result = [fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *fd); };
  return Run(info.Env(), ParseScope(info[4]), task);
}

// linkUpdate(linkFd, newProgramFd, oldProgramFd | undefined)
Napi::Value Update(const Napi::CallbackInfo &info) {
  LIBBPF_OPTS(bpf_link_update_opts, options);
  if (info[2].IsNumber()) {
    options.flags = BPF_F_REPLACE;
    options.old_prog_fd = IntOr(info[2], -1);
  }
  return Napi::Number::New(info.Env(), bpf_link_update(IntOr(info[0], -1), IntOr(info[1], -1), &options));
}

Napi::Value Detach(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), bpf_link_detach(IntOr(info[0], -1)));
}

Napi::Value Info(const Napi::CallbackInfo &info) {
  // The struct of the headers ends before the tcx member. Its members are the
  // first two words of the union, where xdp has its ifindex.
  union {
    struct bpf_link_info known;
    uint32_t words[64];
  } link;
  memset(&link, 0, sizeof(link));
  uint32_t size = sizeof(link);
  int rc = bpf_obj_get_info_by_fd(IntOr(info[0], -1), &link, &size);
  if (rc == -E2BIG) {
    memset(&link, 0, sizeof(link));
    size = sizeof(link.known);
    rc = bpf_obj_get_info_by_fd(IntOr(info[0], -1), &link, &size);
  }
  if (rc) return Napi::Number::New(info.Env(), rc);
  const size_t at = offsetof(struct bpf_link_info, xdp) / sizeof(uint32_t);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", link.known.id);
  result.Set("type", link.known.type);
  result.Set("programId", link.known.prog_id);
  result.Set("ifindex", link.words[at]);
  result.Set("attachType", link.words[at + 1]);
  return result;
}

Napi::Value FdById(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), bpf_link_get_fd_by_id(Uint32Or(info[0], 0)));
}

Napi::Value NextId(const Napi::CallbackInfo &info) {
  uint32_t id = 0;
  int rc = bpf_link_get_next_id(Uint32Or(info[0], 0), &id);
  return rc ? Napi::Number::New(info.Env(), rc) : Napi::Number::New(info.Env(), id);
}

// xdpQuery(ifindex, scope) -> { mode, programId, nativeId, genericId, offloadId }
Napi::Value XdpQuery(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto found = std::make_shared<struct bpf_xdp_query_opts>();
  int ifindex = IntOr(info[0], 0);
  task->work = [=] {
    memset(found.get(), 0, sizeof(*found));
    found->sz = sizeof(*found);
    return bpf_xdp_query(ifindex, 0, found.get());
  };
  task->result = [found](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("mode", found->attach_mode);
    result.Set("programId", found->prog_id);
    result.Set("nativeId", found->drv_prog_id);
    result.Set("genericId", found->skb_prog_id);
    result.Set("offloadId", found->hw_prog_id);
    return result;
  };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// xdpDetach(ifindex, flags, scope): for programs attached over netlink, without a link
Napi::Value XdpDetach(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  int ifindex = IntOr(info[0], 0);
  uint32_t flags = Uint32Or(info[1], 0);
  task->work = [=] { return bpf_xdp_detach(ifindex, flags, nullptr); };
  return Run(info.Env(), ParseScope(info[2]), task);
}

// programQuery(ifindex, attachType, scope) -> ids of the programs, in their order
Napi::Value ProgramQuery(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto ids = std::make_shared<std::vector<uint32_t>>(64);
  int ifindex = IntOr(info[0], 0);
  auto type = static_cast<enum bpf_attach_type>(Uint32Or(info[1], 0));
  task->work = [=] {
    LIBBPF_OPTS(bpf_prog_query_opts, options);
    options.prog_ids = ids->data();
    options.prog_cnt = ids->size();
    int rc = bpf_prog_query_opts(ifindex, type, &options);
    if (rc == 0) ids->resize(options.prog_cnt);
    return rc;
  };
  task->result = [ids](Napi::Env env) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env);
    for (uint32_t id : *ids) list.Set(list.Length(), id);
    return list;
  };
  return Run(info.Env(), ParseScope(info[2]), task);
}

struct TcCall {
  struct bpf_tc_hook hook;
  struct bpf_tc_opts options;
};

// { ifindex, egress, handle, priority, programFd?, replace? }
std::shared_ptr<TcCall> TcCallOf(const Napi::Value &value) {
  Napi::Object given = value.As<Napi::Object>();
  auto call = std::make_shared<TcCall>();
  memset(call.get(), 0, sizeof(*call));
  call->hook.sz = sizeof(call->hook);
  call->hook.ifindex = IntOr(given.Get("ifindex"), 0);
  call->hook.attach_point = given.Get("egress").ToBoolean() ? BPF_TC_EGRESS : BPF_TC_INGRESS;
  call->options.sz = sizeof(call->options);
  call->options.handle = Uint32Or(given.Get("handle"), 0);
  call->options.priority = Uint32Or(given.Get("priority"), 0);
  return call;
}

Napi::Value TcResult(Napi::Env env, const TcCall &call) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", call.options.handle);
  result.Set("priority", call.options.priority);
  result.Set("programId", call.options.prog_id);
  return result;
}

Napi::Value TcAttach(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto call = TcCallOf(info[0]);
  Napi::Object given = info[0].As<Napi::Object>();
  call->options.prog_fd = IntOr(given.Get("programFd"), -1);
  if (given.Get("replace").ToBoolean()) call->options.flags = BPF_TC_F_REPLACE;
  Task *raw = task.get();
  task->work = [=] {
    int rc = bpf_tc_hook_create(&call->hook);
    if (rc && rc != -EEXIST) {
      raw->stage = "clsact";
      return rc;
    }
    return bpf_tc_attach(&call->hook, &call->options);
  };
  task->result = [call](Napi::Env env) -> Napi::Value { return TcResult(env, *call); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

Napi::Value TcDetach(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto call = TcCallOf(info[0]);
  task->work = [=] { return bpf_tc_detach(&call->hook, &call->options); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

Napi::Value TcQuery(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto call = TcCallOf(info[0]);
  task->work = [=] { return bpf_tc_query(&call->hook, &call->options); };
  task->result = [call](Napi::Env env) -> Napi::Value { return TcResult(env, *call); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

// Removes the clsact qdisc itself, and every filter on it.
Napi::Value TcHookDestroy(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto call = TcCallOf(info[0]);
  call->hook.attach_point = static_cast<enum bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  task->work = [=] { return bpf_tc_hook_destroy(&call->hook); };
  return Run(info.Env(), ParseScope(info[1]), task);
}

}  // namespace

void InitLink(Napi::Env env, Napi::Object exports) {
  exports.Set("linkCreate", Napi::Function::New<Create>(env));
  exports.Set("linkUpdate", Napi::Function::New<Update>(env));
  exports.Set("linkDetach", Napi::Function::New<Detach>(env));
  exports.Set("linkInfo", Napi::Function::New<Info>(env));
  exports.Set("linkFdById", Napi::Function::New<FdById>(env));
  exports.Set("linkNextId", Napi::Function::New<NextId>(env));
  exports.Set("xdpQuery", Napi::Function::New<XdpQuery>(env));
  exports.Set("xdpDetach", Napi::Function::New<XdpDetach>(env));
  exports.Set("programQuery", Napi::Function::New<ProgramQuery>(env));
  exports.Set("tcAttach", Napi::Function::New<TcAttach>(env));
  exports.Set("tcDetach", Napi::Function::New<TcDetach>(env));
  exports.Set("tcQuery", Napi::Function::New<TcQuery>(env));
  exports.Set("tcHookDestroy", Napi::Function::New<TcHookDestroy>(env));
}

}  // namespace libbpf_ts
