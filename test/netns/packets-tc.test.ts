// SPDX-License-Identifier: MIT
/** What leaves for what arrives, frame by frame as the real kernel: xlvs on tc. */
import { xlvs } from '../support/replay/director.js'
import { announceDeferred, packetSuite } from '../support/replay/suite.js'

announceDeferred()
packetSuite(xlvs({ mode: 'tc' }))
