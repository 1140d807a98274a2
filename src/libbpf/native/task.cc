// SPDX-License-Identifier: MIT
#include "task.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

#include <mutex>
#include <thread>

namespace libbpf_ts {

namespace {

// libbpf has one print function for the process, but loads run on several
// threads: each thread names the task its lines belong to.
thread_local Task *current_task = nullptr;

int Print(enum libbpf_print_level level, const char *format, va_list args) {
  if (!current_task || (level == LIBBPF_DEBUG && !current_task->verbose)) return 0;
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(nullptr, 0, format, args);
  if (length > 0) {
    std::string &log = current_task->log;
    size_t at = log.size();
    log.resize(at + length + 1);
    vsnprintf(log.data() + at, length + 1, format, again);
    log.resize(at + length);
  }
  va_end(again);
  return 0;
}

int EnterScope(const Scope &scope, Task &task) {
  if (scope.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (scope.cpu >= CPU_SETSIZE) {
      task.stage = "cpu";
      return -EINVAL;
    }
    CPU_SET(scope.cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
      task.stage = "cpu";
      return -errno;
    }
  }
  if (scope.netns >= 0 && setns(scope.netns, CLONE_NEWNET)) {
    task.stage = "netns";
    return -errno;
  }
  if (scope.mntns >= 0) {
    // A mount namespace can be entered only by a thread that shares its root
    // and working directory with nobody.
    if (unshare(CLONE_FS) || setns(scope.mntns, CLONE_NEWNS)) {
      task.stage = "mntns";
      return -errno;
    }
  }
  return 0;
}

void Perform(Task &task) {
  Task *before = current_task;
  current_task = &task;
  task.rc = task.work();
  current_task = before;
}

// The scratch thread is never reused: it ends inside the namespace it entered.
void PerformIn(const Scope &scope, Task &task) {
  if (!scope.needs_thread()) {
    Perform(task);
    return;
  }
  std::thread scratch([&] {
    task.rc = EnterScope(scope, task);
    if (task.rc == 0) Perform(task);
  });
  scratch.join();
}

Napi::Value Outcome(Napi::Env env, Task &task) {
  if (task.rc < 0) return FailureOf(env, task.rc, task.stage, task.log);
  return task.result ? task.result(env) : env.Undefined();
}

class Worker : public Napi::AsyncWorker {
 public:
  Worker(Napi::Env env, const Scope &scope, std::shared_ptr<Task> task)
      : Napi::AsyncWorker(env), deferred(Napi::Promise::Deferred::New(env)), scope_(scope), task_(std::move(task)) {}

  void Execute() override { PerformIn(scope_, *task_); }

  void OnOK() override {
    Napi::HandleScope handles(Env());
    deferred.Resolve(Outcome(Env(), *task_));
  }

  void OnError(const Napi::Error &error) override { deferred.Reject(error.Value()); }

  Napi::Promise::Deferred deferred;

 private:
  Scope scope_;
  std::shared_ptr<Task> task_;
};

}  // namespace

Scope ParseScope(const Napi::Value &value) {
  Scope scope;
  if (!value.IsObject()) return scope;
  Napi::Object options = value.As<Napi::Object>();
  scope.netns = IntOr(options.Get("netns"), -1);
  scope.mntns = IntOr(options.Get("mntns"), -1);
  scope.cpu = IntOr(options.Get("cpu"), -1);
  scope.async = options.Get("async").ToBoolean();
  return scope;
}

Napi::Value Run(Napi::Env env, const Scope &scope, std::shared_ptr<Task> task) {
  if (!scope.async) {
    PerformIn(scope, *task);
    return Outcome(env, *task);
  }
  auto *worker = new Worker(env, scope, std::move(task));
  Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

Napi::Value FailureOf(Napi::Env env, int rc, const char *stage, const std::string &log) {
  Napi::Object failure = Napi::Object::New(env);
  failure.Set("errno", -rc);
  if (stage) failure.Set("stage", stage);
  if (!log.empty()) failure.Set("log", log);
  return failure;
}

Bytes BytesOf(const Napi::Value &value) {
  Bytes bytes;
  if (value.IsNull() || value.IsUndefined()) return bytes;
  if (value.IsTypedArray()) {
    Napi::TypedArray view = value.As<Napi::TypedArray>();
    bytes.data = static_cast<uint8_t *>(view.ArrayBuffer().Data()) + view.ByteOffset();
    bytes.size = view.ByteLength();
  } else if (value.IsDataView()) {
    Napi::DataView view = value.As<Napi::DataView>();
    bytes.data = static_cast<uint8_t *>(view.Data());
    bytes.size = view.ByteLength();
  } else if (value.IsArrayBuffer()) {
    Napi::ArrayBuffer buffer = value.As<Napi::ArrayBuffer>();
    bytes.data = static_cast<uint8_t *>(buffer.Data());
    bytes.size = buffer.ByteLength();
  } else {
    throw Napi::TypeError::New(value.Env(), "expected bytes: a Uint8Array, a DataView or an ArrayBuffer");
  }
  return bytes;
}

Bytes BytesOf(Task &task, const Napi::Value &value) {
  Bytes bytes = BytesOf(value);
  if (bytes.data) task.keep.push_back(Napi::Persistent(value.As<Napi::Object>()));
  return bytes;
}

Napi::Value CopyToBuffer(Napi::Env env, const void *data, size_t size) {
  return Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t *>(data), size);
}

int IntOr(const Napi::Value &value, int fallback) {
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : fallback;
}

uint32_t Uint32Or(const Napi::Value &value, uint32_t fallback) {
  return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : fallback;
}

uint64_t Uint64Of(const Napi::Value &value) {
  if (value.IsNumber()) return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value());
  if (value.IsBigInt()) {
    bool lossless = false;
    return value.As<Napi::BigInt>().Uint64Value(&lossless);
  }
  return 0;
}

std::string StringOr(const Napi::Value &value, const char *fallback) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : fallback;
}

void CaptureLibbpfLog() {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(Print); });
}

}  // namespace libbpf_ts
