// SPDX-License-Identifier: MIT
/**
 * Just enough ELF to find named sections and symbols in a BPF object file:
 * 64-bit, little-endian, relocatable.
 */

export interface ElfSection {
  readonly name: string
  readonly type: number
  readonly index: number
  readonly bytes: Uint8Array
  /** Size in memory; differs from `bytes.length` for .bss, which has no bytes. */
  readonly size: number
}

export interface ElfSymbol {
  readonly name: string
  readonly value: number
  readonly size: number
  readonly section: number
}

const SHT_SYMTAB = 2
const SHT_NOBITS = 8
const SYMBOL_SIZE = 24

export class Elf {
  readonly sections: readonly ElfSection[]
  readonly #links: readonly number[]

  private constructor(sections: readonly ElfSection[], links: readonly number[]) {
    this.sections = sections
    this.#links = links
  }

  static parse(bytes: Uint8Array): Elf {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.byteLength < 64 || view.getUint32(0, false) !== 0x7f454c46) throw new Error('not an ELF file')
    if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error('not a 64-bit little-endian ELF file')
    const tableOffset = Number(view.getBigUint64(40, true))
    const entrySize = view.getUint16(58, true)
    const count = view.getUint16(60, true)
    const namesIndex = view.getUint16(62, true)
    if (tableOffset + entrySize * count > bytes.byteLength) throw new Error('truncated ELF file')

    const headers = Array.from({ length: count }, (_, index) => {
      const at = tableOffset + index * entrySize
      const type = view.getUint32(at + 4, true)
      const offset = Number(view.getBigUint64(at + 24, true))
      const size = Number(view.getBigUint64(at + 32, true))
      const present = type === SHT_NOBITS ? 0 : size
      if (offset + present > bytes.byteLength) throw new Error(`truncated ELF file: section ${index}`)
      return {
        nameOffset: view.getUint32(at, true),
        type,
        index,
        size,
        link: view.getUint32(at + 40, true),
        bytes: bytes.subarray(offset, offset + present),
      }
    })
    const names = headers[namesIndex]?.bytes ?? new Uint8Array()
    return new Elf(
      headers.map(({ nameOffset, type, index, size, bytes: content }) => ({
        name: stringAt(names, nameOffset),
        type,
        index,
        size,
        bytes: content,
      })),
      headers.map((header) => header.link),
    )
  }

  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name)
  }

  symbols(): ElfSymbol[] {
    const table = this.sections.find((section) => section.type === SHT_SYMTAB)
    if (!table) return []
    const names = this.sections[this.#links[table.index] ?? 0]?.bytes ?? new Uint8Array()
    const view = new DataView(table.bytes.buffer, table.bytes.byteOffset, table.bytes.byteLength)
    const symbols: ElfSymbol[] = []
    for (let at = 0; at + SYMBOL_SIZE <= view.byteLength; at += SYMBOL_SIZE) {
      symbols.push({
        name: stringAt(names, view.getUint32(at, true)),
        section: view.getUint16(at + 6, true),
        value: Number(view.getBigUint64(at + 8, true)),
        size: Number(view.getBigUint64(at + 16, true)),
      })
    }
    return symbols
  }
}

/** The NUL-terminated string at an offset of a string table. */
export function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset)
  return decoder.decode(table.subarray(offset, end < 0 ? table.length : end))
}

const decoder = new TextDecoder()
