// SPDX-License-Identifier: MIT
/**
 * Splits a command line into options, as popt does for ipvsadm.
 *
 * Short options may be bundled (`-Ln`), take their argument from the rest of the word
 * (`-w5`, `-w=5`) or from the next one; long options take `--weight=5` or the next
 * word, and are never abbreviated. Words that are no options are collected; after `--`
 * nothing is an option.
 */

export interface OptionForm {
  readonly long: string
  readonly short?: string
  /** An optional argument is the next word unless that starts with `-`. */
  readonly argument: 'none' | 'required' | 'optional'
}

export interface FoundOption<Form> {
  readonly form: Form
  readonly argument: string | undefined
}

/** What popt calls an error: the word it stumbled over and why. */
export class WordError extends Error {
  override readonly name = 'WordError'
}

/** The options there are, found by name and by letter; made once, read for every line. */
export class OptionForms<Form extends OptionForm> {
  readonly byName: ReadonlyMap<string, Form>
  readonly byLetter: ReadonlyMap<string, Form>

  constructor(forms: readonly Form[]) {
    this.byName = new Map(forms.map((form) => [form.long, form]))
    this.byLetter = new Map(forms.flatMap((form) => (form.short === undefined ? [] : [[form.short, form]])))
  }
}

export class Words<Form extends OptionForm> {
  readonly #words: readonly string[]
  readonly #forms: OptionForms<Form>
  readonly #plain: string[] = []
  #next = 0
  /** What is left of a bundle of short options. */
  #bundle = ''
  #optionsEnded = false

  constructor(words: readonly string[], forms: OptionForms<Form>) {
    this.#words = words
    this.#forms = forms
  }

  /** The next option, or undefined when there is none left. */
  nextOption(): FoundOption<Form> | undefined {
    if (this.#bundle !== '') return this.#shortOption()
    while (this.#next < this.#words.length) {
      const word = this.#words[this.#next++]!
      if (this.#optionsEnded || !word.startsWith('-') || word === '-') this.#plain.push(word)
      else if (word === '--') this.#optionsEnded = true
      else if (word.startsWith('--')) return this.#longOption(word)
      else {
        this.#bundle = word.slice(1)
        return this.#shortOption()
      }
    }
    return undefined
  }

  /** The word read last: the one messages point at. */
  get lastWord(): string {
    return this.#words[this.#next - 1] ?? ''
  }

  /** The next word that is no option, or undefined. */
  nextPlain(): string | undefined {
    return this.#plain.shift()
  }

  #longOption(word: string): FoundOption<Form> {
    const equals = word.indexOf('=')
    const name = equals === -1 ? word.slice(2) : word.slice(2, equals)
    const form = this.#forms.byName.get(name)
    return this.#withArgument(form, equals === -1 ? undefined : word.slice(equals + 1))
  }

  #shortOption(): FoundOption<Form> {
    const rest = this.#bundle.slice(1)
    const form = this.#forms.byLetter.get(this.#bundle[0]!)
    const isValue = rest.startsWith('=')
    if (form?.argument === 'none' && !isValue) {
      this.#bundle = rest
      return { form, argument: undefined }
    }
    this.#bundle = ''
    return this.#withArgument(form, rest === '' ? undefined : isValue ? rest.slice(1) : rest)
  }

  #withArgument(form: Form | undefined, attached: string | undefined): FoundOption<Form> {
    if (form === undefined) throw this.#error('unknown option')
    if (form.argument === 'none') {
      if (attached !== undefined) throw this.#error('option does not take an argument')
      return { form, argument: undefined }
    }
    if (attached !== undefined) return { form, argument: attached }
    const next = this.#words[this.#next]
    if (form.argument === 'optional' && (next === undefined || next.startsWith('-'))) {
      return { form, argument: undefined }
    }
    if (next === undefined) throw this.#error('missing argument')
    this.#next++
    return { form, argument: next }
  }

  #error(why: string): WordError {
    return new WordError(`${this.lastWord}: ${why}`)
  }
}
