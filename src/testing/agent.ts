// SPDX-License-Identifier: MIT
/**
 * The traffic of one host: a process inside its namespace that serves and asks.
 *
 * Started by host.ts. Reads one JSON request per line, answers with one line each,
 * and ends when its standard input does, so nothing survives the world that made it.
 * A server is answered for only when it listens: callers need no sleep.
 */
import { createHash } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { Agent, createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import type {
  AgentCalls,
  AgentReply,
  AgentRequest,
  Asked,
  HttpReply,
  StreamReport,
  Visit,
} from './agent-protocol.js'

/** Whatever is open, by number. */
interface Open {
  readonly visits: Visit[]
  close(): void
}

const open = new Map<number, Open>()
let lastId = 0

function remember(thing: Open): number {
  open.set(++lastId, thing)
  return lastId
}

const calls: { [K in keyof AgentCalls]: (call: AgentCalls[K][0]) => Promise<AgentCalls[K][1]> } = {
  serveHttp: async ({ name, address, port }) => {
    const visits: Visit[] = []
    const server = createServer((request, response) => {
      const visit = { from: plain(request.socket.remoteAddress), fromPort: request.socket.remotePort ?? 0 }
      visits.push({ ...visit, data: `${request.method ?? ''} ${request.url ?? ''}` })
      const size = /^\/bulk\/(\d+)$/.exec(request.url ?? '')?.[1]
      if (request.method === 'POST') {
        void digestOf(request).then((digest) => response.end(digest))
      } else if (size === undefined) {
        response.setHeader('content-type', 'text/plain')
        response.end(`${name}\n`)
      } else {
        response.setHeader('content-length', size)
        sendBulk(Number(size), response)
      }
    })
    // A session lasts until its test ends it, not for five idle seconds.
    server.keepAliveTimeout = 600_000
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: address, port, backlog: 1024 }, resolve)
    })
    const id = remember({
      visits,
      close: () => {
        server.close()
        server.closeAllConnections()
      },
    })
    return { id, port: (server.address() as AddressInfo).port }
  },

  echoUdp: async ({ name, addresses, port }) => {
    const visits: Visit[] = []
    const sockets: Socket[] = []
    // One socket per address: a reply must leave from the address that was asked, and a
    // wildcard socket would let routing choose.
    for (const address of addresses) {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
      socket.on('message', (message, { address: from, port: fromPort }) => {
        visits.push({ from, fromPort, data: message.toString() })
        socket.send(`${name} ${message.toString()}`, fromPort, from)
      })
      await bind(socket, port, address)
      sockets.push(socket)
    }
    return { id: remember({ visits, close: () => sockets.forEach((socket) => socket.close()) }) }
  },

  visits: async ({ id }) => ({ visits: open.get(id)?.visits ?? [] }),

  close: async ({ id }) => {
    open.get(id)?.close()
    open.delete(id)
    return {}
  },

  openSession: async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const id = remember({ visits: [], close: () => agent.destroy() })
    sessions.set(id, agent)
    return { id }
  },

  httpGet: (call) => http(call, 'GET', 0),

  /** Downloads and reports the digest, not the bytes. */
  httpBulk: async (call) => {
    const started = performance.now()
    const reply = await http(call, call.upload === undefined ? 'GET' : 'POST', call.upload ?? 0)
    return { ...reply, seconds: (performance.now() - started) / 1000 }
  },

  askUdp: async ({ address, port, data, localAddress, localPort, timeoutMs, connected }) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    try {
      await bind(socket, localPort ?? 0, localAddress)
      if (connected === true) await connect(socket, port, address)
      return await new Promise<Asked>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no answer from ${address} port ${port} within ${timeoutMs} ms`)),
          timeoutMs,
        )
        socket.on('error', reject)
        socket.on('message', (message, { address: from, port: fromPort }) => {
          clearTimeout(timer)
          resolve({ body: message.toString(), from, fromPort, localPort: socket.address().port })
        })
        if (connected === true) socket.send(data)
        else socket.send(data, port, address)
      })
    } finally {
      socket.close()
    }
  },

  openStream: async (call) => {
    const stream = await Stream.start(call)
    const id = remember({ visits: [], close: () => void stream.stop() })
    streams.set(id, stream)
    return { id, localPort: stream.localPort }
  },

  streamReport: async ({ id, stop }) => {
    const stream = streams.get(id)
    if (stream === undefined) throw new Error(`there is no stream ${id}`)
    return stop ? stream.stop() : stream.report()
  },
}

const streams = new Map<number, Stream>()

/**
 * Numbered datagrams at a steady pace, each of which wants an answer. No more than a
 * window of them is ever on the way, so no queue of the host overflows: one that is
 * missing in the end was lost in between.
 */
class Stream {
  readonly localPort: number
  readonly #socket: Socket
  readonly #waiting = new Set<number>()
  readonly #started = performance.now()
  readonly #timer: NodeJS.Timeout
  readonly #by: Record<string, number> = {}
  #sent = 0
  #answered = 0
  #doubled = 0
  #lastAnswer = performance.now()
  #silence = 0
  #ended: Promise<StreamReport> | undefined

  static async start(call: AgentCalls['openStream'][0]): Promise<Stream> {
    const socket = createSocket(call.address.includes(':') ? 'udp6' : 'udp4')
    await bind(socket, call.localPort ?? 0, undefined)
    await connect(socket, call.port, call.address)
    return new Stream(socket, call)
  }

  private constructor(socket: Socket, { perSecond, bytes, window }: AgentCalls['openStream'][0]) {
    this.#socket = socket
    this.localPort = socket.address().port
    const padding = ' '.padEnd(bytes, 'x')
    socket.on('message', (message) => this.#hear(message.toString('latin1', 0, 80)))
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - this.#started) * perSecond) / 1000)
      // What a busy machine made us miss is not made up for all at once.
      for (let n = Math.min(due - this.#sent, window - this.#waiting.size); n > 0; n--) {
        this.#waiting.add(++this.#sent)
        socket.send(`${this.#sent}${padding}`)
      }
    }, 1)
  }

  report(): StreamReport {
    return {
      sent: this.#sent,
      answered: this.#answered,
      missing: this.#waiting.size,
      doubled: this.#doubled,
      by: this.#by,
      longestSilenceMs: this.#silence,
      seconds: (performance.now() - this.#started) / 1000,
    }
  }

  /** Sends no more, gives what is on the way two seconds, and reports. */
  stop(): Promise<StreamReport> {
    this.#ended ??= (async () => {
      clearInterval(this.#timer)
      for (const deadline = performance.now() + 2_000; this.#waiting.size > 0;) {
        if (performance.now() > deadline) break
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      const report = this.report()
      this.#socket.close()
      return report
    })()
    return this.#ended
  }

  /** `server2 4711 xxx…` */
  #hear(answer: string): void {
    const [name = '', number] = answer.split(' ', 2)
    if (!this.#waiting.delete(Number(number))) {
      this.#doubled++
      return
    }
    this.#answered++
    this.#by[name] = (this.#by[name] ?? 0) + 1
    const now = performance.now()
    this.#silence = Math.max(this.#silence, now - this.#lastAnswer)
    this.#lastAnswer = now
  }
}

const sessions = new Map<number, Agent>()

/** 64 KiB that repeat, so that both ends know every byte of a bulk transfer. */
const PATTERN = Buffer.alloc(1 << 16, 'xlvs moves bytes and loses none. ')

function sendBulk(size: number, to: NodeJS.WritableStream): void {
  let left = size
  const more = () => {
    while (left > 0) {
      const chunk = left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN
      left -= chunk.length
      if (!to.write(chunk)) {
        to.once('drain', more)
        return
      }
    }
    to.end()
  }
  more()
}

async function digestOf(stream: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

function http(call: AgentCalls['httpBulk'][0], method: 'GET' | 'POST', upload: number): Promise<HttpReply> {
  const { url, localAddress, localPort, timeoutMs, session, digest } = call
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      method,
      // Without a session every request is a connection of its own.
      agent: session === undefined ? false : sessions.get(session),
      ...(session === undefined ? { headers: { connection: 'close' } } : {}),
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
    })
    const timer = setTimeout(
      () => request.destroy(new Error(`${url} did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
    request.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    request.on('response', (response) => {
      const { localPort: usedPort = 0 } = response.socket
      const body = digest === true && method === 'GET' ? digestOf(response) : textOf(response)
      body
        .then(
          (text) => resolve({ status: response.statusCode ?? 0, body: text, localPort: usedPort }),
          reject,
        )
        .finally(() => clearTimeout(timer))
    })
    if (method === 'POST') sendBulk(upload, request)
    else request.end()
  })
}

async function textOf(stream: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk as string
  return text
}

function bind(socket: Socket, port: number, address: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, () => {
      socket.off('error', reject)
      socket.on('error', () => undefined) // An ICMP answer is the asker's time-out.
      resolve()
    })
  })
}

function connect(socket: Socket, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Tells what went wrong as an argument, whatever its type says.
    socket.connect(port, address, (error?: Error) => (error instanceof Error ? reject(error) : resolve()))
  })
}

/** A dual-stack listener sees IPv4 clients as ::ffff:192.0.2.1. */
function plain(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/, '')
}

async function answer(line: string): Promise<void> {
  const request = JSON.parse(line) as AgentRequest
  const reply: AgentReply = await (calls[request.call] as (call: unknown) => Promise<object>)(
    request.with,
  ).then(
    (result) => ({ number: request.number, result }),
    (error: unknown) => ({
      number: request.number,
      error: error instanceof Error ? error.message : String(error),
    }),
  )
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}

createInterface({ input: process.stdin })
  .on('line', (line) => void answer(line))
  .on('close', () => process.exit(0))
// A terminal's Ctrl-C goes to the whole group; the world closes us in its own order.
process.on('SIGINT', () => undefined)
process.stdout.write('ready\n')
