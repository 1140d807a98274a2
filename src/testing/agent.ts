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
import type { AgentCalls, AgentReply, AgentRequest, Asked, HttpReply, Visit } from './agent-protocol.js'

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

  askUdp: async ({ address, port, data, localAddress, localPort, timeoutMs }) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    try {
      await bind(socket, localPort ?? 0, localAddress)
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
        socket.send(data, port, address)
      })
    } finally {
      socket.close()
    }
  },
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
