// SPDX-License-Identifier: MIT
/** What a Host asks its agent, and what comes back. One line of JSON each. */

/** One request a server saw. */
export interface Visit {
  readonly from: string
  readonly fromPort: number
  /** UDP: the payload; HTTP: method and path. */
  readonly data: string
}

export interface HttpReply {
  readonly status: number
  readonly body: string
  readonly localPort: number
}

export interface Asked {
  readonly body: string
  readonly from: string
  readonly fromPort: number
  readonly localPort: number
}

interface Asking {
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly timeoutMs: number
}

interface AskCall extends Asking {
  readonly address: string
  readonly port: number
  readonly data: string
  /** Hears of ICMP errors, and only of answers from where it asked. */
  readonly connected?: boolean | undefined
}

/** What became of a stream of datagrams so far. */
export interface StreamReport {
  readonly sent: number
  readonly answered: number
  /** Sent and not answered: on the way while the stream runs, lost once it has stopped. */
  readonly missing: number
  /** Answers that came once more. */
  readonly doubled: number
  /** Answers by the name of the host that gave them. */
  readonly by: Readonly<Record<string, number>>
  readonly longestSilenceMs: number
  readonly seconds: number
}

interface HttpCall extends Asking {
  readonly url: string
  readonly session?: number | undefined
  /** The body's SHA-256 instead of the body. */
  readonly digest?: boolean | undefined
  /** POST this many bytes instead of asking for some. */
  readonly upload?: number | undefined
}

interface StreamCall {
  readonly address: string
  readonly port: number
  readonly localPort?: number | undefined
  readonly perSecond: number
  readonly bytes: number
  readonly window: number
}

/** Each call with its arguments and its result. */
export interface AgentCalls {
  serveHttp: [{ name: string; address: string; port: number }, { id: number; port: number }]
  echoUdp: [{ name: string; addresses: readonly string[]; port: number }, { id: number }]
  visits: [{ id: number }, { visits: readonly Visit[] }]
  close: [{ id: number }, object]
  openSession: [object, { id: number }]
  httpGet: [HttpCall, HttpReply]
  httpBulk: [HttpCall, HttpReply & { seconds: number }]
  askUdp: [AskCall, Asked]
  openStream: [StreamCall, { id: number; localPort: number }]
  streamReport: [{ id: number; stop: boolean }, StreamReport]
}

export interface AgentRequest {
  readonly number: number
  readonly call: keyof AgentCalls
  readonly with: unknown
}

export type AgentReply =
  { readonly number: number; readonly result: object } | { readonly number: number; readonly error: string }
