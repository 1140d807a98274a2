// SPDX-License-Identifier: MIT
/**
 * The ipvsadm front end against recordings of ipvsadm 1.31 on the real kernel:
 * what it accepts, what it says, what it exits with and what it has changed.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDatapath } from '../../src/datapath/memory/memory.js'
import { destKeyOf, type DestSpec } from '../../src/ipvs/dest.js'
import { formatAddress } from '../../src/ipvs/address.js'
import { fullMask, keyOf, NO_FLAGS, type ServiceSpec } from '../../src/ipvs/service.js'
import { Failure } from '../../src/util/errors.js'
import { ipvsadm, ipvsadmLine, ipvsadmWith } from '../support/ipvsadm.js'

interface Recorded {
  readonly words: readonly string[]
  readonly status: number
  readonly stdout?: string
  readonly stderr?: string
}

interface Recording {
  readonly setup: readonly string[]
  readonly saved: string
  readonly thresholds: string
  readonly commands: readonly (Recorded & { saved?: string; thresholds?: string; timeouts: string })[]
  readonly options: readonly { words: readonly string[]; status: number; output: string }[]
  readonly restores: readonly {
    input: string
    status: number
    stdout: string
    stderr: string
    saved: string
  }[]
  readonly listings: { setup: readonly string[]; commands: readonly Recorded[] }
}

const fixture = (path: string): string =>
  readFileSync(new URL(`../fixtures/ipvs-6.1/${path}`, import.meta.url), 'utf8')

const recording = JSON.parse(fixture('ipvsadm.json')) as Recording

/** Takes everything ipvsadm can say; what is refused is tested apart. */
const everything = (): MemoryDatapath =>
  new MemoryDatapath({
    acceptUnsupported: true,
    isLocal: (address) => ['10.5.0.1', '127.0.0.1', '::1'].includes(address),
    isBroadcast: (address) => address === '10.5.0.255',
  })

/** A line that starts a synchronisation daemon and does not fail before it is asked to. */
const startsDaemon = ({ words, status }: { words: readonly string[]; status: number }): boolean =>
  words[0] === '--start-daemon' && status !== 2

describe('a command line', () => {
  const datapath = everything()

  // In order: timeouts last from one to the next.
  test.each(recording.commands.filter((recorded) => !startsDaemon(recorded)))(
    'ipvsadm $words exits with $status and leaves what ipvsadm left',
    (recorded) => {
      ipvsadm(datapath, ['-C'])
      ipvsadm(datapath, ['-R'], recording.setup.join('\n'))
      const ended = ipvsadm(datapath, recorded.words)

      // The words of -h are our own; its first line is not.
      if (recorded.words[0] !== '-h') expect(ended.stdout).toBe(recorded.stdout ?? '')
      expect(ended.stderr).toBe(recorded.stderr ?? '')
      expect(ended.status).toBe(recorded.status)
      expect(ipvsadm(datapath, ['-Sn']).stdout).toBe(recorded.saved ?? recording.saved)
      expect(ipvsadm(datapath, ['-Ln', '--thresholds']).stdout.split('\n').slice(3).join('\n')).toBe(
        recorded.thresholds ?? recording.thresholds,
      )
      expect(ipvsadm(datapath, ['-Ln', '--timeout']).stdout).toBe(recorded.timeouts)
    },
  )
})

test('every option with every command, and every two options, get the answer of ipvsadm', () => {
  const datapath = everything()
  const wrong: unknown[] = []

  for (const { words, status, output } of recording.options) {
    const ended = ipvsadm(datapath, words)
    if (startsDaemon({ words, status })) continue
    const got = { status: ended.status, output: ended.stdout + ended.stderr }
    if (got.status !== status || got.output !== output) wrong.push({ words, status, output, got })
  }

  expect(recording.options.length).toBeGreaterThan(1300)
  expect(wrong).toEqual([])
})

describe('-R', () => {
  test.each(recording.restores)(
    'of $input exits with $status',
    ({ input, status, stdout, stderr, saved }) => {
      const datapath = everything()
      ipvsadm(datapath, ['-R'], recording.setup.slice(0, 2).join('\n'))

      const ended = ipvsadm(datapath, ['-R'], input)

      if (!input.startsWith('-h')) expect(ended.stdout).toBe(stdout)
      expect(ended.stderr).toBe(stderr)
      expect(ended.status).toBe(status)
      expect(ipvsadm(datapath, ['-Sn']).stdout).toBe(saved)
    },
  )

  test('opens the datapath once and locks it for every command', () => {
    const datapath = everything()
    let opened = 0
    let locked = 0
    const counting = new Proxy(datapath, {
      get(target, property) {
        if (property === 'locked') locked++
        const value: unknown = Reflect.get(target, property, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })

    ipvsadmWith(() => (opened++, counting), ['-R'], recording.setup.join('\n'))

    expect({ opened, locked }).toEqual({ opened: 1, locked: recording.setup.length })
  })
})

test('listings with long names, both families and far addresses are those of ipvsadm, byte for byte', () => {
  const datapath = everything()
  expect(ipvsadm(datapath, ['-R'], recording.listings.setup.join('\n'))).toMatchObject({
    status: 0,
    stderr: '',
  })

  for (const { words, status, stdout, stderr } of recording.listings.commands) {
    expect({ words, ...ipvsadm(datapath, words) }).toEqual({ words, status, stdout, stderr })
  }
})

describe('errors.json', () => {
  /** Recorded answers this issue cannot give, by what it lacks. */
  const LEFT = [
    // Synchronisation daemons: the kernel starts them, tells one that runs already, and
    // refuses one beside a dest of the other family.
    /--start-daemon master --mcast-interface nosuch$/,
    /--start-daemon master$/,
    /--start-daemon master --mcast-interface eth0 --syncid [34]$/,
    /--stop-daemon master$/,
  ]
  const { cases } = JSON.parse(fixture('text/errors.json')) as {
    cases: { command: string; status: number; stdout: string; stderr: string }[]
  }

  test('every command in order ends as recorded, sparing the daemons', () => {
    const datapath = everything()
    const wrong: unknown[] = []
    let left = 0

    for (const recorded of cases) {
      const ended = ipvsadmLine(datapath, recorded.command)
      if (LEFT.some((pattern) => pattern.test(recorded.command))) left++
      else if (
        JSON.stringify({ command: recorded.command, ...ended }) !== JSON.stringify(canonical(recorded))
      ) {
        wrong.push({ recorded, ended })
      }
    }

    expect(wrong).toEqual([])
    expect({ cases: cases.length, left }).toEqual({ cases: 67, left: 7 })
  })

  const canonical = ({ command, status, stdout, stderr }: (typeof cases)[number]) => ({
    command,
    status,
    stdout,
    stderr,
  })
})

describe('what later issues add', () => {
  test.each([
    ['-A -f 5', 'a firewall-mark service is not supported yet'],
    ['-A --sctp-service 10.1.0.1:90', 'an SCTP service is not supported yet'],
    ['-A -t 10.1.0.1:90 -s sh', "scheduler 'sh' is not supported yet"],
    ['-A -t 10.1.0.1:90 -p', 'a persistent service is not supported yet'],
    ['-A -u 10.1.0.1:90 -o', 'one-packet scheduling is not supported yet'],
    ['-A -t 10.1.0.1:90 --pe sip', "persistence engine 'sip' is not supported yet"],
    ['-E -t 10.0.0.1:80 -s mh', "scheduler 'mh' is not supported yet"],
    ['-a -t 10.0.0.1:80 -r 10.9.0.1 -i --tun-type gre', "tunnel type 'gre' is not supported yet"],
    [
      '-e -t 10.0.0.1:80 -r 10.9.0.9 -i --tun-type gue --tun-port 6080',
      "tunnel type 'gue' is not supported yet",
    ],
    ['--start-daemon master', 'connection synchronisation is not supported yet'],
  ])('%s is refused and changes nothing', (line, message) => {
    const datapath = new MemoryDatapath()
    ipvsadm(datapath, ['-R'], '-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.9.0.9:80 -m')
    const before = datapath.services()

    expect(ipvsadm(datapath, line.split(' '))).toEqual({ status: 255, stdout: '', stderr: `${message}\n` })

    expect(datapath.services()).toEqual(before)
  })

  test('is refused only after every check of ipvsadm and the kernel', () => {
    const datapath = new MemoryDatapath()
    const stderr = (line: string): string => ipvsadm(datapath, line.split(' ')).stderr
    ipvsadm(datapath, ['-A', '-t', '10.0.0.1:80'])

    expect(stderr('-A -f 0')).toBe("invalid fwmark value `0' specified\n")
    expect(stderr('-A -t 10.0.0.1:80 -s sh -p')).toBe('Service already exists\n')
    expect(stderr('-A -t 10.0.0.1:81 -p -s nosuch')).toBe('Scheduler or persistence engine not found\n')
    expect(stderr('-D -f 5')).toBe('No such service\n')
    expect(stderr('-a -t 10.0.0.1:80 -r 224.0.0.1 -i --tun-type gre')).toMatch(/^Invalid operation/)
  })
})

describe('a data plane that cannot be opened', () => {
  const refuse = (failure: Failure) => () => {
    throw failure
  }

  test('is told in the words of ipvsadm, then in ours', () => {
    const failure = new Failure('NOT_PERMITTED', 'loading BPF programs needs CAP_BPF', { errno: 'EPERM' })

    expect(ipvsadmWith(refuse(failure), ['-A', '-t', '10.0.0.1:80'])).toEqual({
      status: 2,
      stdout: '',
      stderr:
        "Can't initialize ipvs: Permission denied (you must be root)\nloading BPF programs needs CAP_BPF\n",
    })
  })

  test('does not keep a wrong line from being called wrong, nor help and version from being printed', () => {
    const open = refuse(new Failure('NOT_PERMITTED', 'no', { errno: 'EPERM' }))

    expect(ipvsadmWith(open, ['-A'])).toMatchObject({ status: 2, stderr: /^You need to supply/ })
    expect(ipvsadmWith(open, ['-v'])).toMatchObject({ status: 0, stderr: '' })
    expect(ipvsadmWith(open, ['-h']).stdout).toMatch(/^ipvsadm v1\.31 .*\nUsage:\n/)
  })

  test('listing asks for less than changing does', () => {
    const asked: string[] = []
    const open = (purpose: string) => (asked.push(purpose), everything())

    for (const line of ['-Ln', '-Sn', '-Lnc', '-Ln --timeout', '-C', '-Z', '-R', '--set 0 0 0']) {
      ipvsadmWith(open, line.split(' '))
    }

    expect(asked).toEqual(['read', 'read', 'read', 'read', 'write', 'write', 'write', 'write'])
  })
})

describe('save and restore', () => {
  const port = fc.integer({ min: 1, max: 65535 })
  const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatAddress)
  const v6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatAddress)
  const service = fc
    .record({
      address: fc.oneof(v4, v6),
      port,
      fwmark: fc.integer({ min: 0, max: 0x7fff_ffff }),
      protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
      scheduler: fc.constantFrom('rr', 'wrr', 'lc', 'wlc', 'sh', 'mh'),
      persistentTimeout: fc.integer({ min: 0, max: 2678400 }),
      mask: v4,
      prefix: fc.integer({ min: 1, max: 128 }),
      flags: fc.record({ sched1: fc.boolean(), sched2: fc.boolean() }),
      onePacket: fc.boolean(),
    })
    .map((drawn): ServiceSpec => {
      const family = drawn.address.includes(':') ? 6 : 4
      const { address, protocol, fwmark } = drawn
      const persistent = drawn.persistentTimeout !== 0
      const mask = family === 4 ? drawn.mask : String(drawn.prefix)
      return {
        key:
          fwmark % 3 === 1
            ? { kind: 'fwmark', fwmark, family }
            : { kind: 'address', address, family, protocol, port: drawn.port },
        scheduler: drawn.scheduler,
        persistentTimeout: drawn.persistentTimeout,
        netmask: persistent ? mask : fullMask(family),
        flags: {
          ...NO_FLAGS,
          ...drawn.flags,
          onePacket: drawn.onePacket && (fwmark % 3 === 1 || protocol === 'udp'),
        },
        pe: '',
      }
    })
  const dest = fc.record({
    v4: v4.filter((address) => !/^(0|22[4-9]|23\d|255)\./.test(address)),
    v6: v6.map((address) => `2001:db8:${address.split(':').find((word) => /^[1-9a-f]/.test(word)) ?? 1}::1`),
    port,
    fwd: fc.constantFrom('masq', 'tunnel', 'route'),
    weight: fc.integer({ min: 0, max: 0x7fff_ffff }),
    tunType: fc.constantFrom('ipip', 'gue', 'gre'),
    tunFlags: fc.constantFrom('nocsum', 'csum'),
  })

  test('-Sn piped into -R makes the same services and servers again', () => {
    const config = fc.array(fc.record({ spec: service, dests: fc.array(dest, { maxLength: 4 }) }), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(config, (services) => {
        const first = everything()
        for (const { spec, dests } of services) {
          attempt(() => first.addService(spec))
          for (const drawn of dests) attempt(() => first.addDest(spec.key, destOf(spec, drawn)))
        }
        const saved = ipvsadm(first, ['-Sn']).stdout
        const second = everything()

        expect(ipvsadm(second, ['-R'], saved)).toEqual({ status: 0, stdout: '', stderr: '' })

        // Not in the same order: where addresses are far apart, ipvsadm's depends on the order before.
        expect(lines(ipvsadm(second, ['-Sn']).stdout)).toEqual(lines(saved))
        expect(sorted(second)).toEqual(sorted(first))
      }),
      { numRuns: 300 },
    )
  })

  const lines = (text: string): string[] => text.split('\n').sort()

  /** Duplicates are drawn, too, and refused. */
  function attempt(change: () => void): void {
    try {
      change()
    } catch (error) {
      if (!(error instanceof Failure) || error.errno !== 'EEXIST') throw error
    }
  }

  type Drawn = typeof dest extends fc.Arbitrary<infer T> ? T : never

  function destOf({ key }: ServiceSpec, drawn: Drawn): DestSpec {
    const tunnel = drawn.fwd === 'tunnel'
    const forced = key.kind === 'address' && drawn.fwd !== 'masq'
    const tunType = tunnel ? drawn.tunType : 'ipip'
    return {
      address: key.family === 4 ? drawn.v4 : drawn.v6,
      family: key.family,
      port: forced ? key.port : drawn.port,
      fwd: drawn.fwd,
      weight: drawn.weight,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunType,
      tunPort: tunType === 'gue' ? drawn.port : 0,
      tunFlags: tunType === 'ipip' ? 'nocsum' : drawn.tunFlags,
    }
  }

  const sorted = (datapath: MemoryDatapath) =>
    new Map(
      datapath.services().map((found) => {
        const dests = new Map(found.dests.map((d) => [destKeyOf(d), d]))
        return [keyOf(found.key), { ...found, dests }]
      }),
    )
})
