// SPDX-License-Identifier: MIT
//
// The addon's table of contents. Each file adds flat functions over file
// descriptors and handles; the classes users see are in TypeScript.
#include <bpf/libbpf.h>

#include "task.h"

namespace libbpf_ts {

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  CaptureLibbpfLog();
  exports.Set("libbpfVersion", libbpf_version_string());
  InitAtomics(env, exports);
  InitFs(env, exports);
  InitLink(env, exports);
  InitMap(env, exports);
  InitNet(env, exports);
  InitObject(env, exports);
  InitProgram(env, exports);
  InitRing(env, exports);
  return exports;
}

}  // namespace libbpf_ts

static Napi::Object InitAll(Napi::Env env, Napi::Object exports) { return libbpf_ts::Init(env, exports); }

NODE_API_MODULE(libbpf_ts, InitAll)
