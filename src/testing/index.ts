// SPDX-License-Identifier: MIT
/**
 * `xlvs/testing`: small worlds of network namespaces for tests, with real traffic.
 *
 * Knows nothing of the load balancer, so it serves any program that forwards packets.
 */
export { createWorld, World, type NonEmpty } from './world.js'
export {
  Host,
  Server,
  type AskOptions,
  type BulkReply,
  type DatagramOptions,
  type HttpOptions,
  type Session,
  type Stream,
  type StreamOptions,
  type TestServer,
  type UdpOptions,
} from './host.js'
export type { Asked, HttpReply, StreamReport, Visit } from './agent-protocol.js'
export { type Family, type LayoutOptions, type Port, type SegmentName } from './layout.js'
export { type Entrance, type ExecOptions, type ExecResult, RunningProcess } from './process.js'
