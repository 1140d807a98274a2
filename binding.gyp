# SPDX-License-Identifier: MIT
#
# The addon of src/libbpf: N-API over the system's libbpf, nothing bundled.
# Built by scripts/build-addon, which finds the Node headers without a download.
{
  'targets': [
    {
      'target_name': 'libbpf_ts',
      # gyp takes a leading "lib" away from target names.
      'product_name': 'libbpf_ts',
      'sources': [
        'src/libbpf/native/addon.cc',
        'src/libbpf/native/atomics.cc',
        'src/libbpf/native/fs.cc',
        'src/libbpf/native/link.cc',
        'src/libbpf/native/map.cc',
        'src/libbpf/native/net.cc',
        'src/libbpf/native/object.cc',
        'src/libbpf/native/program.cc',
        'src/libbpf/native/ring.cc',
        'src/libbpf/native/task.cc',
      ],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': [
        'NAPI_VERSION=8',
        'NAPI_CPP_EXCEPTIONS',
        # What cannot be thrown because Node is shutting down is nobody's loss.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags!': ['-fno-exceptions'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17'],
      'cflags_cc': ['-fexceptions', '-std=c++20', '-O2', '-Wall', '-Wextra', '-fvisibility=hidden'],
      'libraries': ['-lbpf'],
    },
  ],
}
