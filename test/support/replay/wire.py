#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The hands of the replay: raw frames into and out of a lab, commands inside its director.

Node has no raw sockets, so this process has them. It reads one JSON request per line on
standard input, answers each with one line on standard output, in order, and serves one lab
at a time. Whatever it built it removes: when asked to, and when its input ends, so that a
killed test run leaves no namespace behind. Twin: wire.ts, which describes the requests.
"""
import ctypes
import fcntl
import json
import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL = 0x8913, 0x8914, 0x8946
IFF_UP, IFF_PROMISC = 0x1, 0x100
ETHTOOL_SGRO = 0x2C
IPV6_HDRINCL = 36


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def is_noise(frame):
    """What a host says about itself, and no recording holds: IGMP, MLD, router solicitations, DAD."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return len(frame) > 23 and frame[23] == 2
    if kind != b"\x86\xdd" or len(frame) < 55:
        return False
    upper, offset = frame[20], 54
    if upper == 0:  # hop-by-hop: MLD carries its router alert there
        upper, offset = frame[54], 54 + 8 * (frame[55] + 1)
    if upper != 58 or len(frame) <= offset:
        return False
    what = frame[offset]
    return what in (130, 131, 132, 133, 143) or (what == 135 and frame[22:38] == bytes(16))


class Lab:
    """Three namespaces, the raw sockets at both ends, and the sockets of the director."""

    def __init__(self, request):
        self.names = request["names"]
        self.pins = request.get("pins")
        self.inode = None
        self.ends = {}
        self.listeners = []
        self.others = []
        self.frames = []
        self.received = []
        self.last_sent = time.monotonic()
        self.poll = select.poll()
        self.by_fd = {}
        try:
            self.build(request)
        except BaseException:
            self.close()
            raise

    def build(self, request):
        subprocess.run(["ip", "-batch", "-"], input=request["links"], text=True, check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for side, device in (("c", "c0"), ("s", "s0")):
            self.enter(side)
            # The ends must say nothing of their own: no address, no neighbour discovery.
            with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as handle:
                handle.write("1")
            self.raise_link(device, request["gro"])
            end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            end.bind((device, ETH_P_ALL))
            end.setblocking(False)
            self.ends[side] = end
            self.watch(end, side)
        self.enter("d")
        self.inode = os.stat("/proc/self/ns/net").st_ino
        if self.pins:  # a former namespace may have had this inode
            shutil.rmtree(os.path.join(self.pins, str(self.inode)), ignore_errors=True)

    def enter(self, side):
        fd = os.open("/run/netns/" + self.names[side], os.O_RDONLY)
        try:
            setns(fd)
        finally:
            os.close(fd)

    @staticmethod
    def raise_link(device, gro):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            if gro:
                value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGRO, 1))
                fcntl.ioctl(control, SIOCETHTOOL,
                            struct.pack("16sP", device.encode(), ctypes.addressof(value)))
            name = device.encode()
            flags = struct.unpack("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh", name, 0)))[1]
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", name, flags | IFF_UP | IFF_PROMISC))

    def watch(self, sock, what):
        self.by_fd[sock.fileno()] = (sock, what)
        self.poll.register(sock, select.POLLIN)

    def read(self, timeout):
        """Take in whatever arrives within `timeout` seconds, at least once without waiting."""
        for fd, _ in self.poll.poll(max(0, timeout) * 1000):
            sock, what = self.by_fd[fd]
            while True:
                try:
                    data, ancillary, _, source = sock.recvmsg(1 << 17, 128)
                except BlockingIOError:
                    break
                except OSError:
                    break  # an ICMP error on a listening socket
                if what in ("c", "s"):
                    if is_noise(data):
                        continue
                    stamp = 0
                    for level, kind, value in ancillary:
                        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                            seconds, nanos = struct.unpack("qq", value[:16])
                            stamp = seconds * 10**9 + nanos
                    self.frames.append((stamp, what, data.hex()))
                else:
                    self.received.append({"at": what, "from": list(source[:2]), "payload": data.hex()})

    def expect(self, frames, received, limit):
        """Read until so much has come since the last `take`, or `limit` milliseconds have passed."""
        deadline = time.monotonic() + limit / 1000
        self.read(0)
        while len(self.frames) < frames or len(self.received) < received:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self.read(left)

    def take(self, grace):
        """All frames since the last call, no earlier than `grace` milliseconds after the last injection."""
        deadline = self.last_sent + grace / 1000
        self.read(0)
        while (left := deadline - time.monotonic()) > 0:
            self.read(left)
        frames, self.frames = sorted(self.frames, key=lambda frame: frame[0]), []
        received, self.received = self.received, []
        return {"frames": [{"at": at, "frame": frame} for _, at, frame in frames], "received": received}

    def send(self, at, frame):
        data = bytes.fromhex(frame)
        if at == "director":
            version = data[0] >> 4
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                if version == 4:
                    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
                    target = (socket.inet_ntop(family, data[16:20]), 0)
                else:
                    raw.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
                    target = (socket.inet_ntop(family, data[24:40]), 0)
                try:
                    raw.sendto(data, target)
                except OSError:
                    pass  # a refused packet is seen by what does not leave
        else:
            self.ends[at].send(data)
        self.last_sent = time.monotonic()

    def exchange(self, frames, limit, grace):
        """One frame after the other, each with its answers; used for long sequences."""
        answers = []
        for at, frame, expected in frames:
            self.send(at, frame)
            self.expect(expected, 0, limit)
            if expected == 0:
                self.take_into(grace)
            answers.append([[side, data] for _, side, data in self.frames])
            self.frames = []
        return answers

    def take_into(self, grace):
        deadline = time.monotonic() + grace / 1000
        while (left := deadline - time.monotonic()) > 0:
            self.read(left)

    def socket(self, kind, source, target, payload):
        family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(tuple(source))
        sock.setblocking(False)
        self.others.append(sock)
        self.last_sent = time.monotonic()
        if kind == "tcp":
            try:
                sock.connect(tuple(target))
            except BlockingIOError:
                pass
        else:
            self.watch(sock, source)
            sock.sendto(bytes.fromhex(payload or ""), tuple(target))

    def give_up(self):
        """Close connecting sockets, so that they send no more SYNs."""
        for sock in self.others:
            if sock.type == socket.SOCK_STREAM:
                sock.close()
        self.others = [sock for sock in self.others if sock.type != socket.SOCK_STREAM]

    def listen(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((address, port))
        sock.setblocking(False)
        self.others.append(sock)
        self.watch(sock, [address, port])

    def close(self):
        for sock in list(self.ends.values()) + self.others:
            sock.close()
        setns(HOME)
        if self.pins and self.inode:
            shutil.rmtree(os.path.join(self.pins, str(self.inode)), ignore_errors=True)
        present = [name for name in self.names.values() if os.path.exists("/run/netns/" + name)]
        subprocess.run(["ip", "-force", "-batch", "-"], text=True, stdout=subprocess.DEVNULL,
                       input="".join("netns del %s\n" % name for name in present))


def run(request):
    argv = request.get("argv") or shlex.split(request["command"])
    try:
        done = subprocess.run(argv, input=request.get("stdin", ""), text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=request.get("timeout", 60))
    except FileNotFoundError as missing:
        return {"status": 127, "stdout": "", "stderr": str(missing)}
    except subprocess.TimeoutExpired:
        return {"status": 124, "stdout": "", "stderr": "no end within the time limit"}
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def serve(lab, request):
    """Answers one request; returns the lab that is open afterwards."""
    op = request["op"]
    if op == "open":
        lab = Lab(request)
        return lab, {"inode": lab.inode}
    if op == "run":
        return lab, run(request)
    if op == "read":
        with open(request["path"]) as handle:
            return lab, {"text": handle.read()}
    if op == "close":
        if lab:
            lab.close()
        return None, {}
    if op == "send":
        lab.send(request["at"], request["frame"])
        lab.expect(request["frames"], request["received"], request["limit"])
        return lab, {}
    if op == "expect":
        lab.last_sent = time.monotonic()
        lab.expect(request["frames"], request["received"], request["limit"])
        return lab, {}
    if op == "take":
        return lab, lab.take(request["grace"])
    if op == "exchange":
        return lab, {"answers": lab.exchange(request["steps"], request["limit"], request["grace"])}
    if op == "socket":
        lab.socket(request["kind"], request["from"], request["to"], request.get("payload"))
        lab.expect(request["frames"], request["received"], request["limit"])
        return lab, {}
    if op == "give up":
        lab.give_up()
        return lab, {}
    if op == "listen":
        lab.listen(request["address"], request["port"])
        return lab, {}
    raise ValueError("unknown request: " + op)


def main():
    # An interrupt goes to the whole foreground group; this process ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lab = None
    try:
        for line in sys.stdin:
            try:
                lab, answer = serve(lab, json.loads(line))
            except subprocess.CalledProcessError as failed:
                answer = {"error": "%s: %s" % (" ".join(failed.cmd), failed.output)}
            except Exception as problem:  # the caller reports it with the step that asked
                answer = {"error": "%s: %s" % (type(problem).__name__, problem)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        pass
    finally:
        if lab:
            lab.close()


HOME = os.open("/proc/self/ns/net", os.O_RDONLY)

if __name__ == "__main__":
    main()
