// SPDX-License-Identifier: MIT
//
// Atomic access to memory that BPF programs change at the same time: an mmapped
// map. ECMAScript promises atomicity only between agents that share a
// SharedArrayBuffer, and says nothing about a kernel on the other side.
#include "task.h"

namespace libbpf_ts {

namespace {

template <typename T>
T *Cell(const Napi::CallbackInfo &info) {
  Bytes bytes = BytesOf(info[0]);
  int64_t offset = info[1].As<Napi::Number>().Int64Value();
  if (offset < 0 || static_cast<uint64_t>(offset) + sizeof(T) > bytes.size)
    throw Napi::RangeError::New(info.Env(), "atomic access outside the buffer");
  uint8_t *at = bytes.data + offset;
  if (reinterpret_cast<uintptr_t>(at) % sizeof(T))
    throw Napi::RangeError::New(info.Env(), "atomic access must be naturally aligned");
  return reinterpret_cast<T *>(at);
}

Napi::Value CasU64(const Napi::CallbackInfo &info) {
  uint64_t *cell = Cell<uint64_t>(info);
  uint64_t expected = Uint64Of(info[2]);
  __atomic_compare_exchange_n(cell, &expected, Uint64Of(info[3]), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return Napi::BigInt::New(info.Env(), expected);
}

Napi::Value LoadU64(const Napi::CallbackInfo &info) {
  return Napi::BigInt::New(info.Env(), __atomic_load_n(Cell<uint64_t>(info), __ATOMIC_ACQUIRE));
}

void StoreU64(const Napi::CallbackInfo &info) {
  __atomic_store_n(Cell<uint64_t>(info), Uint64Of(info[2]), __ATOMIC_RELEASE);
}

Napi::Value AddU64(const Napi::CallbackInfo &info) {
  return Napi::BigInt::New(info.Env(), __atomic_fetch_add(Cell<uint64_t>(info), Uint64Of(info[2]), __ATOMIC_SEQ_CST));
}

Napi::Value CasU32(const Napi::CallbackInfo &info) {
  uint32_t *cell = Cell<uint32_t>(info);
  uint32_t expected = Uint32Or(info[2], 0);
  __atomic_compare_exchange_n(cell, &expected, Uint32Or(info[3], 0), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return Napi::Number::New(info.Env(), expected);
}

Napi::Value LoadU32(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), __atomic_load_n(Cell<uint32_t>(info), __ATOMIC_ACQUIRE));
}

void StoreU32(const Napi::CallbackInfo &info) {
  __atomic_store_n(Cell<uint32_t>(info), Uint32Or(info[2], 0), __ATOMIC_RELEASE);
}

Napi::Value AddU32(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(),
                           __atomic_fetch_add(Cell<uint32_t>(info), Uint32Or(info[2], 0), __ATOMIC_SEQ_CST));
}

// Orders the plain reads before it against those after it: copy a record,
// fence, look at its generation again.
void Fence(const Napi::CallbackInfo &) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

}  // namespace

void InitAtomics(Napi::Env env, Napi::Object exports) {
  exports.Set("casU64", Napi::Function::New<CasU64>(env));
  exports.Set("loadU64", Napi::Function::New<LoadU64>(env));
  exports.Set("storeU64", Napi::Function::New<StoreU64>(env));
  exports.Set("addU64", Napi::Function::New<AddU64>(env));
  exports.Set("casU32", Napi::Function::New<CasU32>(env));
  exports.Set("loadU32", Napi::Function::New<LoadU32>(env));
  exports.Set("storeU32", Napi::Function::New<StoreU32>(env));
  exports.Set("addU32", Napi::Function::New<AddU32>(env));
  exports.Set("fence", Napi::Function::New<Fence>(env));
}

}  // namespace libbpf_ts
