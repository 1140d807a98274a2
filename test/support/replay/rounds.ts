// SPDX-License-Identifier: MIT
/**
 * Many replays, a round of labs at a time: first all of the round are built, then all
 * are played side by side, because a replay mostly waits.
 *
 * Loading programs keeps the process busy for a second. Were it done beside a play, its
 * ten-second connections would expire between two frames.
 */
import { Wire } from './wire.js'

/** A replay that is built and ready to be played. */
export interface Stage {
  /** What went otherwise than recorded, as a text for people; empty when nothing did. */
  play(): Promise<string>
  close(): Promise<void>
}

export interface Job {
  readonly name: string
  readonly build: (wire: Wire) => Promise<Stage>
}

/** Plays all jobs and tells each outcome as soon as there is one; an Error is one, too. */
export async function playAll(
  jobs: readonly Job[],
  size: number,
  tell: (name: string, outcome: string | Error) => void,
): Promise<void> {
  const wires = jobs.slice(0, size).map(() => Wire.start())
  try {
    for (let next = 0; next < jobs.length; next += size) {
      const round = jobs.slice(next, next + size)
      const stages: { name: string; stage: Stage | Error }[] = []
      for (const [place, { name, build }] of round.entries()) {
        stages.push({ name, stage: await build(wires[place]!).catch(asError) })
      }
      await Promise.all(
        stages.map(async ({ name, stage }, place) => {
          if (stage instanceof Error) {
            // Half a lab may be left in the helper; it goes with it.
            await wires[place]!.stop()
            wires[place] = Wire.start()
            return tell(name, stage)
          }
          const outcome = await stage.play().catch(asError)
          const closed = await stage.close().catch(asError)
          tell(name, closed instanceof Error && outcome === '' ? closed : outcome)
        }),
      )
    }
  } finally {
    await Promise.all(wires.map((wire) => wire.stop()))
  }
}

function asError(problem: unknown): Error {
  return problem instanceof Error ? problem : new Error(String(problem))
}
