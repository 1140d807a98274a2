// SPDX-License-Identifier: MIT
/** One network namespace of a test's own: no processes in it, removed whatever happens. */
import { spawnSync } from 'node:child_process'

import { guard, release, removeLeftovers, removeNamespaces, uniquePrefix } from '../../src/testing/janitor.js'

export class Netns implements Disposable {
  readonly name: string
  readonly path: string

  private constructor(name: string, path = `/run/netns/${name}`) {
    this.name = name
    this.path = path
  }

  /** The one this process is in, made by another, who removes it. */
  static here(): Netns {
    return new Netns('', '/proc/self/ns/net')
  }

  /** Makes it, with lo up and IPv6 addresses that are usable at once. */
  static create(stem = 'room'): Netns {
    removeLeftovers()
    const netns = new Netns(uniquePrefix() + stem)
    guard(netns)
    run('ip', ['netns', 'add', netns.name])
    netns.sysctl({
      'net.ipv6.conf.all.accept_dad': 0,
      'net.ipv6.conf.default.accept_dad': 0,
      'net.ipv6.conf.default.accept_ra': 0,
      'net.ipv6.conf.default.router_solicitations': 0,
      'net.ipv6.conf.default.addr_gen_mode': 1,
      // As `xlvs up` sets them: routes are asked for as if by a packet from lo.
      'net.ipv4.conf.lo.forwarding': 1,
      'net.ipv6.conf.lo.forwarding': 1,
    })
    netns.ip('link set lo up')
    return netns
  }

  /** `ip` commands, one per line. */
  ip(...lines: readonly string[]): void {
    run('ip', ['-n', this.name, '-batch', '-'], `${lines.join('\n')}\n`)
  }

  sysctl(values: Readonly<Record<string, number>>): void {
    const settings = Object.entries(values).map(([name, value]) => `${name}=${value}`)
    run('nsenter', [`--net=${this.path}`, 'sysctl', '-q', '-w', ...settings])
  }

  removeNow(): void {
    if (this.name !== '') removeNamespaces([this.name])
  }

  [Symbol.dispose](): void {
    this.removeNow()
    release(this)
  }
}

function run(command: string, args: readonly string[], input?: string): void {
  const { status, stderr, error } = spawnSync(command, args, { input, encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}\n${input ?? ''}`)
}
