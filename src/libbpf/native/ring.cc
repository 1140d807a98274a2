// SPDX-License-Identifier: MIT
//
// Ring buffer consumer. A thread waits and copies records together; JavaScript
// gets one call per batch, because a call per record costs more than the record.
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "task.h"

namespace libbpf_ts {

namespace {

struct Batch {
  std::vector<uint8_t> bytes;
  // Start of each record, and the end of the last one.
  std::vector<uint32_t> offsets;
};

constexpr int kBatchFull = -ECANCELED;

Napi::Value ToValue(Napi::Env env, Batch *batch) {
  Napi::Object result = Napi::Object::New(env);
  Napi::Uint32Array offsets = Napi::Uint32Array::New(env, batch->offsets.size());
  std::copy(batch->offsets.begin(), batch->offsets.end(), offsets.Data());
  result.Set("offsets", offsets);
  result.Set("bytes", CopyToBuffer(env, batch->bytes.data(), batch->bytes.size()));
  return result;
}

void CallJs(Napi::Env env, Napi::Function callback, std::nullptr_t *, Batch *batch) {
  // Without an environment the queue is only being emptied.
  if (env && callback) callback.Call({ToValue(env, batch)});
  delete batch;
}

using Deliver = Napi::TypedThreadSafeFunction<std::nullptr_t, Batch, CallJs>;

class Ring {
 public:
  int Open(int map_fd, size_t batch_bytes, int interval_ms) {
    batch_bytes_ = batch_bytes;
    interval_ms_ = interval_ms;
    ring_ = ring_buffer__new(map_fd, OnSample, this, nullptr);
    if (!ring_) return -errno;
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    return stop_fd_ < 0 ? -errno : 0;
  }

  void Start(Napi::Env env, Napi::Function callback, bool keeps_process_alive) {
    deliver_ = Deliver::New(env, callback, "libbpf-ts ring buffer", 8, 1);
    if (!keeps_process_alive) deliver_.Unref(env);
    started_ = true;
    thread_ = std::thread([this] { Loop(); });
  }

  // Takes what is there now, on the calling thread.
  int Drain(Batch &batch) {
    std::lock_guard<std::mutex> guard(mutex_);
    current_ = &batch;
    int rc = ring_buffer__consume(ring_);
    current_ = nullptr;
    if (!batch.offsets.empty()) batch.offsets.push_back(batch.bytes.size());
    return rc;
  }

  void Close() {
    if (started_) {
      started_ = false;
      stop_ = true;
      uint64_t one = 1;
      if (write(stop_fd_, &one, sizeof(one)) < 0) stop_ = true;
      // Wakes the thread should it wait for room in the queue.
      deliver_.Abort();
      thread_.join();
    }
    if (ring_) ring_buffer__free(ring_);
    if (stop_fd_ >= 0) close(stop_fd_);
    ring_ = nullptr;
    stop_fd_ = -1;
  }

  bool open() const { return ring_; }

  ~Ring() { Close(); }

 private:
  static int OnSample(void *context, void *data, size_t size) {
    Ring *self = static_cast<Ring *>(context);
    Batch &batch = *self->current_;
    auto *bytes = static_cast<uint8_t *>(data);
    batch.offsets.push_back(batch.bytes.size());
    batch.bytes.insert(batch.bytes.end(), bytes, bytes + size);
    // The record counts as consumed also when the callback stops the walk.
    return batch.bytes.size() >= self->batch_bytes_ ? kBatchFull : 0;
  }

  void Loop() {
    struct pollfd waits[2] = {{ring_buffer__epoll_fd(ring_), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    while (!stop_) {
      int ready = poll(waits, 2, interval_ms_);
      if (stop_ || (ready < 0 && errno != EINTR)) break;
      int rc;
      do {
        auto *batch = new Batch();
        rc = Drain(*batch);
        if (batch->offsets.empty()) {
          delete batch;
        } else if (deliver_.BlockingCall(batch) != napi_ok) {
          delete batch;
          stop_ = true;
        }
      } while (rc == kBatchFull && !stop_);
    }
    deliver_.Release();
  }

  struct ring_buffer *ring_ = nullptr;
  int stop_fd_ = -1;
  int interval_ms_ = -1;
  size_t batch_bytes_ = 0;
  std::atomic<bool> stop_ = false;
  bool started_ = false;
  std::mutex mutex_;
  Batch *current_ = nullptr;
  Deliver deliver_;
  std::thread thread_;
};

void CloseAtExit(void *data) { static_cast<Ring *>(data)->Close(); }

// ringOpen(mapFd, { batchBytes, intervalMs, ref }, callback | undefined) -> handle or -errno
Napi::Value Open(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Napi::Object options = info[1].As<Napi::Object>();
  auto ring = std::make_unique<Ring>();
  int rc = ring->Open(IntOr(info[0], -1), Uint32Or(options.Get("batchBytes"), 256 * 1024),
                      IntOr(options.Get("intervalMs"), -1));
  if (rc) return Napi::Number::New(env, rc);
  if (info[2].IsFunction()) ring->Start(env, info[2].As<Napi::Function>(), options.Get("ref").ToBoolean());
  Ring *raw = ring.release();
  // The environment may go (the process exits, a worker ends) before the collector
  // finds the handle, and the thread must be gone before it.
  napi_add_env_cleanup_hook(env, CloseAtExit, raw);
  return Napi::External<Ring>::New(env, raw, [](Napi::Env env, Ring *data) {
    napi_remove_env_cleanup_hook(env, CloseAtExit, data);
    delete data;
  });
}

Napi::Value Drain(const Napi::CallbackInfo &info) {
  Ring *ring = info[0].As<Napi::External<Ring>>().Data();
  if (!ring->open()) throw Napi::Error::New(info.Env(), "the ring buffer is closed");
  Batch batch;
  int rc = ring->Drain(batch);
  if (rc < 0 && rc != kBatchFull) return Napi::Number::New(info.Env(), rc);
  return ToValue(info.Env(), &batch);
}

void Close(const Napi::CallbackInfo &info) { info[0].As<Napi::External<Ring>>().Data()->Close(); }

}  // namespace

void InitRing(Napi::Env env, Napi::Object exports) {
  exports.Set("ringOpen", Napi::Function::New<Open>(env));
  exports.Set("ringDrain", Napi::Function::New<Drain>(env));
  exports.Set("ringClose", Napi::Function::New<Close>(env));
}

}  // namespace libbpf_ts
