// SPDX-License-Identifier: MIT
//
// Loaded programs: what they are, and test runs.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "task.h"

namespace libbpf_ts {

namespace {

Napi::Value Info(const Napi::CallbackInfo &info) {
  struct bpf_prog_info program = {};
  uint32_t size = sizeof(program);
  int rc = bpf_obj_get_info_by_fd(IntOr(info[0], -1), &program, &size);
  if (rc) return Napi::Number::New(info.Env(), rc);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", program.id);
  result.Set("type", program.type);
  result.Set("name", program.name);
  char tag[2 * BPF_TAG_SIZE + 1];
  for (int i = 0; i < BPF_TAG_SIZE; i++) snprintf(tag + 2 * i, 3, "%02x", program.tag[i]);
  result.Set("tag", tag);
  result.Set("instructions", program.xlated_prog_len / 8);
  result.Set("verifiedInstructions", program.verified_insns);
  result.Set("jitedSize", program.jited_prog_len);
  result.Set("loadedAtNs", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(program.load_time)));
  result.Set("runTimeNs", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(program.run_time_ns)));
  result.Set("runCount", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(program.run_cnt)));
  result.Set("mapCount", program.nr_map_ids);
  return result;
}

Napi::Value MapIds(const Napi::CallbackInfo &info) {
  int fd = IntOr(info[0], -1);
  struct bpf_prog_info program = {};
  uint32_t size = sizeof(program);
  int rc = bpf_obj_get_info_by_fd(fd, &program, &size);
  if (rc) return Napi::Number::New(info.Env(), rc);
  std::vector<uint32_t> ids(program.nr_map_ids);
  struct bpf_prog_info again = {};
  again.nr_map_ids = ids.size();
  again.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  size = sizeof(again);
  rc = bpf_obj_get_info_by_fd(fd, &again, &size);
  if (rc) return Napi::Number::New(info.Env(), rc);
  Napi::Array list = Napi::Array::New(info.Env());
  for (uint32_t id : ids) list.Set(list.Length(), id);
  return list;
}

// The instructions as the kernel runs them, after the verifier removed what
// cannot be reached: lets a caller prove what a program cannot do.
Napi::Value Translated(const Napi::CallbackInfo &info) {
  int fd = IntOr(info[0], -1);
  struct bpf_prog_info program = {};
  uint32_t size = sizeof(program);
  int rc = bpf_obj_get_info_by_fd(fd, &program, &size);
  if (rc) return Napi::Number::New(info.Env(), rc);
  std::vector<uint8_t> code(program.xlated_prog_len);
  struct bpf_prog_info again = {};
  again.xlated_prog_len = code.size();
  again.xlated_prog_insns = reinterpret_cast<uintptr_t>(code.data());
  size = sizeof(again);
  rc = bpf_obj_get_info_by_fd(fd, &again, &size);
  if (rc) return Napi::Number::New(info.Env(), rc);
  return CopyToBuffer(info.Env(), code.data(), code.size());
}

Napi::Value FdById(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), bpf_prog_get_fd_by_id(Uint32Or(info[0], 0)));
}

Napi::Value NextId(const Napi::CallbackInfo &info) {
  uint32_t id = 0;
  int rc = bpf_prog_get_next_id(Uint32Or(info[0], 0), &id);
  return rc ? Napi::Number::New(info.Env(), rc) : Napi::Number::New(info.Env(), id);
}

// testRun(fd, { dataIn, dataOut, ctxIn, ctxOut, repeat, flags, batchSize, onCpu }, scope)
// dataOut and ctxOut are buffers to be filled; the answer tells how far.
Napi::Value TestRun(const Napi::CallbackInfo &info) {
  auto task = std::make_shared<Task>();
  auto options = std::make_shared<struct bpf_test_run_opts>();
  int fd = IntOr(info[0], -1);
  Napi::Object given = info[1].As<Napi::Object>();
  Bytes data_in = BytesOf(*task, given.Get("dataIn"));
  Bytes data_out = BytesOf(*task, given.Get("dataOut"));
  Bytes ctx_in = BytesOf(*task, given.Get("ctxIn"));
  Bytes ctx_out = BytesOf(*task, given.Get("ctxOut"));
  options->sz = sizeof(*options);
  options->data_in = data_in.data;
  options->data_size_in = data_in.size;
  options->data_out = data_out.data;
  options->data_size_out = data_out.size;
  options->ctx_in = ctx_in.data;
  options->ctx_size_in = ctx_in.size;
  options->ctx_out = ctx_out.data;
  options->ctx_size_out = ctx_out.size;
  options->repeat = IntOr(given.Get("repeat"), 0);
  options->flags = Uint32Or(given.Get("flags"), 0);
  options->cpu = Uint32Or(given.Get("onCpu"), 0);
  options->batch_size = Uint32Or(given.Get("batchSize"), 0);
  task->work = [=] { return bpf_prog_test_run_opts(fd, options.get()); };
  task->result = [options](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("retval", options->retval);
    result.Set("duration", options->duration);
    result.Set("dataSize", options->data_size_out);
    result.Set("ctxSize", options->ctx_size_out);
    return result;
  };
  return Run(info.Env(), ParseScope(info[2]), task);
}

Napi::Value ProbeHelper(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(),
                           libbpf_probe_bpf_helper(static_cast<enum bpf_prog_type>(Uint32Or(info[0], 0)),
                                                   static_cast<enum bpf_func_id>(Uint32Or(info[1], 0)), nullptr));
}

Napi::Value ProbeMapType(const Napi::CallbackInfo &info) {
  return Napi::Number::New(
      info.Env(), libbpf_probe_bpf_map_type(static_cast<enum bpf_map_type>(Uint32Or(info[0], 0)), nullptr));
}

Napi::Value ProbeProgramType(const Napi::CallbackInfo &info) {
  return Napi::Number::New(
      info.Env(), libbpf_probe_bpf_prog_type(static_cast<enum bpf_prog_type>(Uint32Or(info[0], 0)), nullptr));
}

}  // namespace

void InitProgram(Napi::Env env, Napi::Object exports) {
  exports.Set("programInfo", Napi::Function::New<Info>(env));
  exports.Set("programMapIds", Napi::Function::New<MapIds>(env));
  exports.Set("programTranslated", Napi::Function::New<Translated>(env));
  exports.Set("programFdById", Napi::Function::New<FdById>(env));
  exports.Set("programNextId", Napi::Function::New<NextId>(env));
  exports.Set("programTestRun", Napi::Function::New<TestRun>(env));
  exports.Set("probeHelper", Napi::Function::New<ProbeHelper>(env));
  exports.Set("probeMapType", Napi::Function::New<ProbeMapType>(env));
  exports.Set("probeProgramType", Napi::Function::New<ProbeProgramType>(env));
}

}  // namespace libbpf_ts
