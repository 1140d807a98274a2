// SPDX-License-Identifier: MIT
/**
 * `make demo`: a client, a director and three real servers, each in a network
 * namespace; real HTTP and UDP through masquerading, direct routing and tunnels,
 * over IPv4 and IPv6.
 *
 * Uses the two programs as an operator would, checks everything it shows, and ends
 * with 0 only if all of it was right.
 *
 * `--ipvsadm PATH` runs the same show with another ipvsadm: the original, on a kernel
 * that has IPVS, must pass it too.
 */
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { describeError, EXIT, exitCodeOf } from '../src/cli/exit.js'
import { createWorld, type Family, type World } from '../src/testing/index.js'
import { packageFile } from '../src/util/package.js'

const { values: flags } = parseArgs({ options: { ipvsadm: { type: 'string' } } })
const bin = flags.ipvsadm === undefined ? packageFile('build', 'bin') : dirname(flags.ipvsadm)
const original = flags.ipvsadm !== undefined

/** Twice around three servers. */
const REQUESTS = 6

interface Method {
  readonly title: string
  readonly flag: '-m' | '-g' | '-i'
  /** As `ipvsadm -Ln` names it. */
  readonly listed: string
  readonly story: string
  /** A virtual address each, so that connections of one method are no other's. */
  readonly vip: number
  /** Masquerading may change ports; the others cannot. */
  readonly ports: Readonly<Record<Protocol, number>>
  readonly repliesPass: boolean
}

type Protocol = 'tcp' | 'udp'

const SERVICE_PORT: Readonly<Record<Protocol, number>> = { tcp: 80, udp: 53 }

const NAT: Method = {
  title: 'NAT',
  flag: '-m',
  listed: 'Masq',
  story: 'the director rewrites addresses and ports, of requests and of replies',
  vip: 1,
  ports: { tcp: 8080, udp: 5353 },
  repliesPass: true,
}

const METHODS: readonly Method[] = [
  NAT,
  {
    title: 'Direct routing',
    flag: '-g',
    listed: 'Route',
    story: 'the packet goes to the MAC of the server, which answers the client itself',
    vip: 2,
    ports: SERVICE_PORT,
    repliesPass: false,
  },
  {
    title: 'Tunnel',
    flag: '-i',
    listed: 'Tunnel',
    story: 'the packet travels inside another; the server unpacks it and answers the client itself',
    vip: 3,
    ports: SERVICE_PORT,
    repliesPass: false,
  },
]

const color = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
const paint = (code: number) => (text: string) => (color ? `\x1b[${code}m${text}\x1b[0m` : text)
const [bold, dim, green, red, cyan] = [paint(1), paint(2), paint(32), paint(31), paint(36)]

const say = (text = '') => console.log(text)
const indent = (text: string) => text.trimEnd().replace(/^(?=.)/gm, '    ')

let checks = 0
let shown = 0
const wrong: string[] = []

/** Notes whether something was as it should be, and says so. */
function check(what: string, ok: boolean, found?: string): void {
  checks++
  if (ok) {
    say(`    ${green('✓')} ${what}`)
  } else {
    wrong.push(what)
    say(`    ${red('✗')} ${bold(what)}${found === undefined ? '' : `: ${found}`}`)
  }
}

const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address)

async function main(): Promise<void> {
  const started = performance.now()
  await using world = await createWorld({ clients: 1, servers: 3 })
  const built = performance.now()
  introduce(world, built - started)
  await startServers(world)

  for (const method of METHODS) {
    for (const family of world.families) await show(world, method, family)
  }
  if (!original) {
    await showXdp(world)
    await takeDown(world)
  }

  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const requests = shown * 2 * REQUESTS
  say()
  if (wrong.length === 0) {
    say(bold(green(`${requests} requests, ${checks} checks, everything as it should be, in ${seconds} s.`)))
  } else {
    say(bold(red(`${wrong.length} of ${checks} checks failed, in ${seconds} s:`)))
    for (const what of wrong) say(`    ${red('✗')} ${what}`)
    process.exitCode = EXIT.failed
  }
}

function introduce(world: World, milliseconds: number): void {
  const { client, director, servers, router } = world
  const both = (host: typeof client, segment?: 'front' | 'back') =>
    world.families.map((family) => host.address(family, segment)).join('  ')
  say(
    bold('xlvs: a small world to balance in') +
      dim(`  (five namespaces and a router, ${milliseconds.toFixed(0)} ms)`),
  )
  say()
  say(`    client    ${both(client)}`)
  say(`       │`)
  say(
    `    director  ${both(director, 'front')}     virtual: ${world.families.map((f) => `${world.vip(f, 1)} to ${world.vip(f, 3)}`).join(', ')}`,
  )
  say(`       │      ${both(director, 'back')}`)
  for (const [i, server] of servers.entries()) {
    say(`       ${i < servers.length - 1 ? '├' : '└'}──  ${server.name}  ${both(server)}`)
  }
  if (router !== undefined) {
    say(dim(`    router    ${both(router, 'back')}: the way home for replies that skip the director`))
  }
}

async function startServers(world: World): Promise<void> {
  await Promise.all(
    world.servers.map(async (server) => {
      await server.decapsulate()
      for (const family of world.families) {
        for (const { vip, repliesPass } of METHODS) {
          if (!repliesPass) await server.acceptVirtual(world.vip(family, vip))
        }
      }
      for (const ports of new Set(METHODS.map((method) => method.ports))) {
        await server.http({ port: ports.tcp })
        await server.udp({ port: ports.udp })
      }
    }),
  )
}

/** One method over one family: configure, ask, list, count. */
async function show(world: World, method: Method, family: Family): Promise<void> {
  shown++
  const vip = bracketed(world.vip(family, method.vip))
  const virtual: Readonly<Record<Protocol, string>> = {
    tcp: `${vip}:${SERVICE_PORT.tcp}`,
    udp: `${vip}:${SERVICE_PORT.udp}`,
  }
  const real = (protocol: Protocol) =>
    world.servers.map((server) => `${bracketed(server.address(family))}:${method.ports[protocol]}`)

  say()
  say(bold(cyan(`── ${method.title}, IPv${family} `.padEnd(78, '─'))))
  say(dim(`   ${method.story}`))
  say()
  for (const protocol of ['tcp', 'udp'] as const) {
    const flag = protocol === 'tcp' ? '-t' : '-u'
    await operator(world, 'ipvsadm', ['-A', flag, virtual[protocol], '-s', 'rr'])
    for (const dest of real(protocol)) {
      await operator(world, 'ipvsadm', ['-a', flag, virtual[protocol], '-r', dest, method.flag])
    }
  }

  say()
  const answers = await ask(world, method, family)
  say()
  const listing = await operator(world, 'ipvsadm', ['-Ln'])
  say(indent(listing))
  for (const protocol of ['tcp', 'udp'] as const) {
    const service = table(listing, protocol, virtual[protocol])
    const connections = service.dests.map(({ columns }) => Number(columns[2]) + Number(columns[3]))
    check(
      `${protocol.toUpperCase()}: ${REQUESTS / 3} connections on each of three servers, forwarding ${method.listed}`,
      connections.length === 3 &&
        connections.every((count) => count === REQUESTS / 3) &&
        service.dests.every(({ columns }) => columns[0] === method.listed),
      connections.join(', '),
    )
  }

  say()
  // The original brings the counters it shows up to date every two seconds; ours are live.
  if (original) await setTimeout(2_500)
  const stats = await operator(world, 'ipvsadm', ['-Ln', '--stats', '--exact'])
  say(indent(stats))
  checkCounters(stats, method, family, virtual, answers)

  if (!original && shown === 1) await explain(world, stats)
  say()
  await operator(world, 'ipvsadm', ['-C'])
}

interface Answers {
  /** Payload lengths of all datagrams there and back. */
  readonly udpAsked: number
  readonly udpAnswered: number
}

async function ask(world: World, method: Method, family: Family): Promise<Answers> {
  const vip = world.vip(family, method.vip)
  // The kernel lists new servers first, and round robin starts with the list.
  const expected = [...world.servers].reverse().map(({ name }) => name)
  const inTurn = Array.from({ length: REQUESTS }, (_, i) => expected[i % expected.length])

  const url = `http://${bracketed(vip)}/`
  const http: string[] = []
  for (let i = 0; i < REQUESTS; i++) {
    const { status, body } = await world.client.get(url)
    http.push(status === 200 ? body.trim() : `status ${status}`)
  }
  say(`    HTTP  GET ${url}  ${REQUESTS} times, answered by`)
  say(`          ${http.join('  ')}`)
  check('each server in its turn', http.join() === inTurn.join(), `expected ${inTurn.join(' ')}`)

  const udp: string[] = []
  let udpAsked = 0
  let udpAnswered = 0
  for (let i = 0; i < REQUESTS; i++) {
    const question = `question ${i}`
    const answer = await world.client.ask(vip, SERVICE_PORT.udp, question, { localPort: 20_001 + i })
    const [server = '', ...echo] = answer.body.split(' ')
    const genuine = echo.join(' ') === question && answer.from === vip && answer.fromPort === SERVICE_PORT.udp
    udp.push(genuine ? server : `${answer.body} from ${answer.from}`)
    udpAsked += question.length
    udpAnswered += answer.body.length
  }
  say(`    UDP   ${REQUESTS} datagrams to ${bracketed(vip)}:${SERVICE_PORT.udp}, answered by`)
  say(`          ${udp.join('  ')}`)
  check('each server in its turn', udp.join() === inTurn.join(), `expected ${inTurn.join(' ')}`)
  return { udpAsked, udpAnswered }
}

const STATS = ['connections', 'packets in', 'packets out', 'bytes in', 'bytes out'] as const

function checkCounters(
  stats: string,
  method: Method,
  family: Family,
  virtual: Readonly<Record<Protocol, string>>,
  { udpAsked, udpAnswered }: Answers,
): void {
  for (const protocol of ['tcp', 'udp'] as const) {
    const { columns, dests } = table(stats, protocol, virtual[protocol])
    const total = columns.map(Number)
    const summed = STATS.map((_, i) => dests.reduce((sum, dest) => sum + Number(dest.columns[i]), 0))
    const name = protocol.toUpperCase()
    check(
      `${name}: the servers' counters add up to the service's`,
      total.join() === summed.join(),
      `${total.join(' ')} against ${summed.join(' ')}`,
    )

    const [connections = 0, packetsIn = 0, packetsOut = 0, bytesIn = 0, bytesOut = 0] = total
    if (protocol === 'udp') {
      // Known to the byte: IP and UDP headers, and what was said.
      const headers = REQUESTS * ((family === 4 ? 20 : 40) + 8)
      const expected = method.repliesPass
        ? [REQUESTS, REQUESTS, REQUESTS, headers + udpAsked, headers + udpAnswered]
        : [REQUESTS, REQUESTS, 0, headers + udpAsked, 0]
      check(
        `${name}: counted to the byte`,
        total.join() === expected.join(),
        `expected ${expected.join(' ')}`,
      )
    } else if (method.repliesPass) {
      // SYN, ACK, request, FIN at least; SYN-ACK, answer, FIN at least.
      const plausible = packetsIn >= 4 * REQUESTS && packetsOut >= 3 * REQUESTS && bytesIn > 0 && bytesOut > 0
      check(`${name}: both directions pass the director`, connections === REQUESTS && plausible)
    } else {
      const plausible = packetsIn >= 4 * REQUESTS && bytesIn > 0 && packetsOut === 0 && bytesOut === 0
      check(`${name}: requests pass the director, replies do not`, connections === REQUESTS && plausible)
    }
  }
}

/** What would happen to the next SYN; asking changes nothing. */
async function explain(world: World, before: string): Promise<void> {
  const { client, director } = world
  say()
  const text = await operator(world, 'xlvs', [
    'explain', 'tcp', `${client.address(4)}:40000`, `${world.vip(4)}:${SERVICE_PORT.tcp}`, '--syn',
    '--dev', director.port('front').device,
  ]) // prettier-ignore
  say(indent(text))
  const next = world.servers.at(-1)?.address(4) ?? ''
  check(
    'explain names the server whose turn it is',
    text.includes(`dest     ${next}:${NAT.ports.tcp} `),
    `expected ${next}`,
  )
  const after = await run(world, 'ipvsadm', ['-Ln', '--stats', '--exact'])
  check('and has changed no counter', after === before)
}

/** All that was tc, which is faster on a veth. Here is XDP, as a network card would run it. */
async function showXdp(world: World): Promise<void> {
  say()
  say(bold(cyan('── And now in the driver '.padEnd(78, '─'))))
  say(dim('   tc did all that: it is faster between namespaces; network cards get XDP as well'))
  say()
  // What a wire does by itself: checksums are on it, and nothing is dropped for want of polling.
  await world.xdpReady()
  await operator(world, 'xlvs', ['up', '--xdp', 'native'])
  const status = await operator(world, 'xlvs', ['status'])
  say(indent(status))
  for (const { device } of world.director.ports) {
    check(
      `${device} has a program in the driver`,
      new RegExp(`^ *${device} +\\S+ +native\\b`, 'm').test(status),
    )
  }
  const before = await forwardedByXdp(world)
  // Of addresses used before, connections are still known, and would go where they went.
  await show(world, { ...NAT, vip: 4 }, 4)
  say()
  const stats = await operator(world, 'xlvs', ['stats'])
  say(indent(stats))
  const forwarded = (await forwardedByXdp(world)) - before
  check('packets were forwarded in the driver', forwarded > 0, `${forwarded}`)
}

async function forwardedByXdp(world: World): Promise<number> {
  const { reasons } = JSON.parse(await run(world, 'xlvs', ['stats', '--json'])) as {
    readonly reasons: readonly { readonly hook: string; readonly reason: string; readonly count: string }[]
  }
  return reasons
    .filter(({ hook, reason }) => hook === 'xdp' && reason.startsWith('FORWARD'))
    .reduce((sum, { count }) => sum + Number(count), 0)
}

async function takeDown(world: World): Promise<void> {
  say()
  await operator(world, 'xlvs', ['down'])
  const left = (await run(world, 'ipvsadm', ['-Ln'])).split('\n').filter((line) => /^(TCP|UDP)/.test(line))
  check('nothing is left of it', left.length === 0, left.join(', '))
}

/** Types a command on the director and shows it. */
async function operator(world: World, program: string, args: readonly string[]): Promise<string> {
  say(`  ${dim('director#')} ${program} ${args.join(' ')}`)
  return run(world, program, args)
}

async function run(world: World, program: string, args: readonly string[]): Promise<string> {
  return (await world.director.exec(join(bin, program), args)).stdout
}

interface Row {
  readonly columns: readonly string[]
}

/** A service's line of a listing, and its dests', without addresses. */
function table(
  listing: string,
  protocol: Protocol,
  address: string,
): Row & { readonly dests: readonly Row[] } {
  const lines = listing.split('\n')
  const at = lines.findIndex(
    (line) => line.split(/\s+/, 2).join(' ') === `${protocol.toUpperCase()} ${address}`,
  )
  if (at < 0) return { columns: [], dests: [] }
  const below = lines.slice(at + 1)
  const end = below.findIndex((line) => !line.startsWith('  ->'))
  const row = (line: string, skip: number): Row => ({ columns: line.trim().split(/\s+/).slice(skip) })
  return {
    ...row(lines[at] ?? '', 2),
    dests: below.slice(0, end < 0 ? below.length : end).map((line) => row(line, 2)),
  }
}

try {
  await main()
} catch (error) {
  say()
  console.error(describeError('demo', error))
  process.exitCode = exitCodeOf(error) || EXIT.failed
}
