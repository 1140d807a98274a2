// SPDX-License-Identifier: MIT
/**
 * xlvs as a library: the load balancer of a network namespace, from a program.
 *
 * ```ts
 * import { dest, KernelDatapath, service } from 'xlvs'
 *
 * using balancer = KernelDatapath.open({ netns: '/run/netns/director' })
 * const web = service('tcp', '10.0.0.1:80', { scheduler: 'rr' })
 * balancer.addService(web)                                  // loads and attaches by itself
 * balancer.addDest(web.key, dest('10.1.0.11:8080', { fwd: 'masq' }))
 * for (const { client, dest } of balancer.connections()) console.log(client, dest)
 * ```
 *
 * The state is in the kernel: closing the object, or ending the process, changes
 * nothing; `down()` does. Everything that fails throws a {@link Failure}, whose `code`
 * says what it is and whose `errno` is kernel IPVS's answer to the same request.
 */
export {
  KernelDatapath,
  type Fill,
  type OpenOptions,
  type ReasonCount,
  type Status,
} from './datapath/kernel/datapath.js'
export type {
  ChosenDest,
  Explanation,
  ExplainHook,
  ExplainRequest,
  ExplainStep,
  HookExplanation,
  NextHop,
} from './datapath/kernel/explain.js'
export type { HeaderSummary, PacketDescription, PacketSummary, TcpFlag } from './datapath/kernel/frame.js'
export { XDP_MODES, type DeviceStatus, type UpOptions, type XdpChoice } from './datapath/kernel/lifecycle.js'
export { verdictOf, type Verdict, type VerdictKind } from './datapath/kernel/reasons.js'
export { SETTINGS, type Setting } from './datapath/kernel/settings.js'
export { DEFAULT_SIZES, type Sizes } from './datapath/kernel/sizes.js'
export { MemoryDatapath, type Delivery, type MemoryOptions, type Packet } from './datapath/memory/memory.js'
export type { Datapath, Timeouts } from './datapath/datapath.js'
export { TCP_STATES, type Conn, type Endpoint } from './ipvs/conn.js'
export {
  FWD_METHODS,
  TUN_FLAGS,
  TUN_TYPES,
  type Dest,
  type DestKey,
  type DestSpec,
  type FwdMethod,
  type TunFlags,
  type TunType,
} from './ipvs/dest.js'
export {
  PROTOCOLS,
  type AddressKey,
  type Family,
  type FwmarkKey,
  type Protocol,
  type Service,
  type ServiceFlags,
  type ServiceKey,
  type ServiceSpec,
} from './ipvs/service.js'
export { dest, service, serviceKey } from './ipvs/spec.js'
export type { Rates, Stats } from './ipvs/stats.js'
export { Failure, FAILURE_CODES, type Errno, type FailureCode } from './util/errors.js'
