// SPDX-License-Identifier: MIT
/** What leaves for what arrives, frame by frame as the real kernel: xlvs on xdp. */
import { xlvs } from '../support/replay/director.js'
import { packetSuite } from '../support/replay/suite.js'

packetSuite(xlvs({ mode: 'xdp' }))
