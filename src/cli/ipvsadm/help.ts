// SPDX-License-Identifier: MIT
/**
 * What `-v` and `-h` print.
 */

/** What tools that ask for the version of ipvsadm look for. */
export const VERSION = 'ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)'

export const HELP = `${VERSION}
Usage:
  ipvsadm -A|E SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [--pe ENGINE] [-o] [-b FLAGS]
  ipvsadm -D SERVICE
  ipvsadm -C
  ipvsadm -a|e SERVICE -r SERVER [-g|-i|-m] [-w WEIGHT] [-x UPPER] [-y LOWER] [TUNNEL]
  ipvsadm -d SERVICE -r SERVER
  ipvsadm -L|l [SERVICE] [-n] [LIST OPTIONS]
  ipvsadm -Z [SERVICE]
  ipvsadm -S [-n]
  ipvsadm -R
  ipvsadm --set TCP TCPFIN UDP
  ipvsadm --start-daemon master|backup [DAEMON OPTIONS]
  ipvsadm --stop-daemon master|backup
  ipvsadm -h

The first option is the command; without any, everything is listed.

Commands:
  -A --add-service       add a virtual service
  -E --edit-service      replace a service's settings, keep its servers
  -D --delete-service    delete a service with its servers
  -C --clear             delete everything
  -a --add-server        add a real server to a service
  -e --edit-server       replace a real server's settings
  -d --delete-server     take a real server out of a service
  -L -l --list           list services, connections or timeouts
  -Z --zero              set counters to zero, of one service or of all
  -S --save              print all services as commands for -R
  -R --restore           run commands from standard input, one a line
     --set               set timeouts in seconds, 0 keeps the old one
     --start-daemon      start to synchronise connections
     --stop-daemon       stop to synchronise connections
  -h --help              print this
  -v --version           print the version

Services:
  -t --tcp-service       HOST[:PORT], [V6]:PORT
  -u --udp-service       the same for UDP
     --sctp-service      the same for SCTP
  -f --fwmark-service    packets with this firewall mark, a number above 0
  -6 --ipv6              after -f: IPv6 packets

Service options:
  -s --scheduler         rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf or mh; wlc if not given
  -p --persistent        keep clients on their server, for 360 seconds if no number follows
  -M --netmask           clients that count as one: IPv4 mask or IPv6 prefix length
     --pe                persistence engine: sip
  -o --ops               schedule every UDP packet by itself
  -b --sched-flags       flag-1, flag-2, flag-3; sh-fallback, sh-port; mh-fallback, mh-port

Server options:
  -r --real-server       HOST[:PORT], [V6]:PORT; the service's port if none is given
  -g --gatewaying        direct routing; this one if none is given
  -i --ipip              through a tunnel
  -m --masquerading      network address translation
     --tun-type          ipip, gue or gre; ipip if not given
     --tun-port          port of a gue tunnel
     --tun-nocsum        send without checksum through a gue or gre tunnel
     --tun-csum          send with checksum
     --tun-remcsum       send with remote checksum, gue only
  -w --weight            share of new connections, 1 if not given; 0 gets none
  -x --u-threshold       no new connections when there are this many; 0 for no limit
  -y --l-threshold       new connections again below this many

List options:
  -n --numeric           print numbers, look up no names
  -c --connection        list connections
     --timeout           list timeouts (tcp tcpfin udp)
     --daemon            list synchronisation daemons
     --stats             counters
     --rate              counters per second
  -X --exact             print large numbers in full
     --thresholds        connection limits
     --persistent-conn   persistent connections
     --tun-info          tunnel types
     --nosort            do not sort
     --sort              nothing, for old scripts

Daemon options:
     --syncid            number of the group that synchronises
     --sync-maxlen       longest message
     --mcast-interface   interface to send or listen on, eth0 if not given
     --mcast-group       multicast address, 224.0.0.81 if not given
     --mcast-port        UDP port, 8848 if not given
     --mcast-ttl         multicast TTL, 1 if not given
`
