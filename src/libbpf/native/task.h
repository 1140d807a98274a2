// SPDX-License-Identifier: MIT
//
// A task is one call into the kernel: where it runs (event loop, thread pool,
// scratch thread inside another namespace), what it does, and how its outcome
// becomes a JavaScript value.
//
// Nothing here throws for an errno. A failed task yields the plain object
// { errno, stage?, log? }; src/libbpf/errors.ts turns that into a typed error,
// so that every text an operator reads is written in one place.
#ifndef LIBBPF_TS_TASK_H
#define LIBBPF_TS_TASK_H

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace libbpf_ts {

// Where a call is made. Anything but the default needs a thread of its own,
// because namespaces and affinity belong to threads and Node's are shared.
struct Scope {
  int netns = -1;     // an open network namespace
  int mntns = -1;     // an open mount namespace
  int cpu = -1;       // run on this CPU only
  bool async = false; // off the event loop

  bool needs_thread() const { return netns >= 0 || mntns >= 0 || cpu >= 0; }
};

// Reads { netns, mntns, cpu, async }; undefined means "here and now".
Scope ParseScope(const Napi::Value &value);

struct Task {
  // Does the work and answers 0 or -errno. Runs on any thread: no N-API in it.
  std::function<int()> work;
  // Turns success into a value. Runs on the JavaScript thread.
  std::function<Napi::Value(Napi::Env)> result;
  // What libbpf printed meanwhile: the verifier's log, the kernel's extack.
  std::string log;
  // The step that failed when it was not the work itself.
  const char *stage = nullptr;
  int rc = 0;
  bool verbose = false;
  // Buffers the work reads and writes, kept alive until it is done.
  std::vector<Napi::ObjectReference> keep;
};

// Runs the task in its scope; answers a value, or a promise when scope.async.
Napi::Value Run(Napi::Env env, const Scope &scope, std::shared_ptr<Task> task);

// { errno, stage?, log? }
Napi::Value FailureOf(Napi::Env env, int rc, const char *stage = nullptr, const std::string &log = "");

// Bytes of any ArrayBuffer view; {nullptr, 0} for null and undefined.
struct Bytes {
  uint8_t *data = nullptr;
  size_t size = 0;
};
Bytes BytesOf(const Napi::Value &value);
// The same, and keeps the view's memory alive for the task.
Bytes BytesOf(Task &task, const Napi::Value &value);

Napi::Value CopyToBuffer(Napi::Env env, const void *data, size_t size);

int IntOr(const Napi::Value &value, int fallback);
uint32_t Uint32Or(const Napi::Value &value, uint32_t fallback);
uint64_t Uint64Of(const Napi::Value &value);
std::string StringOr(const Napi::Value &value, const char *fallback = "");

// Sends libbpf's printing to the task that runs on this thread, instead of stderr.
void CaptureLibbpfLog();

void InitAtomics(Napi::Env env, Napi::Object exports);
void InitFs(Napi::Env env, Napi::Object exports);
void InitLink(Napi::Env env, Napi::Object exports);
void InitMap(Napi::Env env, Napi::Object exports);
void InitNet(Napi::Env env, Napi::Object exports);
void InitObject(Napi::Env env, Napi::Object exports);
void InitProgram(Napi::Env env, Napi::Object exports);
void InitRing(Napi::Env env, Napi::Object exports);

}  // namespace libbpf_ts

#endif
