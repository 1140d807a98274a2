// SPDX-License-Identifier: MIT
/**
 * libbpf-ts: BPF objects, maps, programs, links and ring buffers for Node.js, over
 * the system's libbpf. See README.md next to this file.
 */
export * from './atomics.js'
export {
  BpfFs,
  FsLock,
  kindOf,
  type BpfFsOptions,
  type FsEntry,
  type LockOptions,
  type PinKind,
} from './bpffs.js'
export {
  MAP_ANY,
  MAP_EXIST,
  MAP_F_MMAPABLE,
  MAP_F_NO_PREALLOC,
  MAP_F_RDONLY_PROG,
  MAP_LOCK,
  MAP_NOEXIST,
  MAP_TYPES,
  PROGRAM_TYPES,
  type LinkType,
  type MapType,
  type ProgramType,
} from './constants.js'
export {
  BpfError,
  missingCapabilities,
  nameOfErrno,
  NotSupportedError,
  VerifierError,
  type Capability,
} from './errors.js'
export { KernelObject } from './fd.js'
export { FEATURES, hasFeature, kernel, possibleCpus, type Feature, type KernelInfo } from './kernel.js'
export {
  BpfLink,
  detachXdp,
  hasTcx,
  queryTcx,
  queryXdp,
  removeClsact,
  TcFilter,
  type AttachTcOptions,
  type AttachXdpOptions,
  type Attachment,
  type LinkInfo,
  type TcAttachment,
  type TcDirection,
  type XdpMode,
  type XdpState,
} from './link.js'
export {
  BpfMap,
  MappedMap,
  type BatchOutcome,
  type CreateOptions,
  type ElementBatch,
  type Elements,
  type FsOption,
  type MapInfo,
} from './map.js'
export {
  ifindexOf,
  isBroadcastAddress,
  isLoopback,
  isUp,
  listInterfaces,
  netnsCookie,
  netnsInode,
  openNetns,
  getSysctl,
  setSysctl,
  sourceAddressFor,
  type Interface,
  type Netns,
  type NetnsOption,
} from './netns.js'
export {
  BpfObject,
  GlobalData,
  ObjectMap,
  ObjectProgram,
  type GlobalValue,
  type LoadOptions,
  type OpenOptions,
} from './object.js'
export {
  BpfProgram,
  skbContext,
  xdpContext,
  type ProgramInfo,
  type TestRunOptions,
  type TestRunResult,
} from './program.js'
export { RecordBatch, RingBuffer, type RingOptions } from './ring.js'
