// SPDX-License-Identifier: MIT
/**
 * What tests of src/libbpf run in a process of its own: inside `ip netns exec`,
 * without some capability, or to be killed. Answers one line of JSON.
 */
import {
  BpfError,
  BpfFs,
  BpfMap,
  BpfObject,
  hasFeature,
  ifindexOf,
  kernel,
  netnsInode,
  NotSupportedError,
  queryTcx,
} from '../../src/libbpf/index.js'

const answer = (line: string) => process.stdout.write(`${line}\n`)

const [command, ...args] = process.argv.slice(2)

const commands: Record<string, (...args: string[]) => unknown> = {
  /** Makes a map with one element and pins it. */
  pin(path) {
    using fs = BpfFs.open()
    fs.mkdir(path.slice(0, path.lastIndexOf('/')))
    using map = BpfMap.create({ type: 'array', name: 'child', keySize: 4, valueSize: 4, maxEntries: 1 })
    map.set(new Uint8Array(4), Uint8Array.of(1, 2, 3, 4))
    map.pin(path, { fs })
    return { foreign: fs.foreign, netns: String(netnsInode()), lo: ifindexOf('lo') }
  },
  read(path) {
    using map = BpfMap.openPinned(path)
    return { value: [...map.get(new Uint8Array(4))!] }
  },
  /** Loads an object whose map is pinned by load() itself. */
  load(object, map, path) {
    using fs = BpfFs.open()
    using loading = BpfObject.open(object)
    loading.map(map).setPinPath(path)
    loading.load({ fs })
    return { id: loading.map(map).id }
  },
  /** Looks at bpffs as seen from a mount namespace. */
  list(namespace) {
    using fs = BpfFs.open({ namespace: namespace as 'init' | 'own' })
    return { foreign: fs.foreign, mounted: fs.mounted }
  },
  attach(object, ifindex) {
    using loading = BpfObject.open(object)
    loading.load()
    using _link = loading.program('count').attachXdp(Number(ifindex), { mode: 'generic' })
    return {}
  },
  /** Attaches to lo by whatever this kernel has, replaces, finds and removes it. */
  tc(object) {
    using loading = BpfObject.open(object)
    loading.load()
    const lo = ifindexOf('lo')
    const [pass, drop] = [loading.program('mark_passed'), loading.program('drop_all')]
    let refusal: unknown
    try {
      pass.attachTcx(lo, 'egress').close()
    } catch (error) {
      if (!(error instanceof NotSupportedError)) throw error
      refusal = { feature: error.feature, since: error.since, code: error.code }
    }
    using attachment = pass.attachTc(lo, 'egress')
    attachment.update(drop)
    const programId = () =>
      attachment.kind === 'filter' ? attachment.programId() : attachment.info().programId
    const replaced = programId() === drop.id
    const asked = {
      tcx: queryTcx(lo, 'egress').length,
      feature: hasFeature('tcx'),
      loop: hasFeature('helper:loop'),
    }
    attachment.detach()
    return { kernel: kernel().version, refusal, kind: attachment.kind, replaced, ...asked }
  },
  /** Holds a lock until it is killed. */
  async hold(path) {
    using _lock = BpfFs.open().lock(path)
    answer(JSON.stringify({ held: true }))
    await new Promise(() => setInterval(() => undefined, 1000))
  },
}

try {
  answer(JSON.stringify((await commands[command!]!(...args)) ?? {}))
} catch (error) {
  if (!(error instanceof BpfError)) throw error
  const { name, code, errnoName, message, hint, operation } = error
  answer(JSON.stringify({ error: { name, code, errnoName, message, hint, operation } }))
}
