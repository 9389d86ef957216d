#!/usr/bin/python3
"""A wire that takes its time: delay.py NEAR FAR

Makes two network devices (TUN: whole IP packets, checksummed and of one segment each) and hands what goes into one to the other. Lines on
standard input set the delays, in milliseconds: "TO_FAR JITTER TO_NEAR". The jitter is uniform and spares the order of the packets, so it
bunches them as a busy queue elsewhere would. Ends with standard input.
"""
import collections, fcntl, os, random, select, struct, sys, time

TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001


class Way:
    """Packets from one device on their way to the other."""

    def __init__(self):
        self.delay = self.jitter = self.last = 0
        self.packets = collections.deque()

    def put(self, packet, now):
        self.last = max(self.last, now + self.delay + random.uniform(-self.jitter, self.jitter))
        self.packets.append((self.last, packet))

    def due(self, now):
        while self.packets and self.packets[0][0] <= now:
            yield self.packets.popleft()[1]


def device(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return fd


near, far = (device(name) for name in sys.argv[1:])
to_far, to_near = Way(), Way()
print("ready", flush=True)
os.set_blocking(0, False)
while True:
    waiting = [way.packets[0][0] for way in (to_far, to_near) if way.packets]
    readable, _, _ = select.select([near, far, 0], [], [], max(0, min(waiting) - time.monotonic()) if waiting else None)
    now = time.monotonic()
    if 0 in readable:
        line = os.read(0, 4096).decode()
        if not line:
            break
        to_far.delay, to_far.jitter, to_near.delay = (float(ms) / 1000 for ms in line.splitlines()[-1].split())
    for fd, way in ((near, to_far), (far, to_near)):
        if fd in readable:
            try:
                while True:
                    way.put(os.read(fd, 65536), now)
            except BlockingIOError:
                pass
    for fd, way in ((far, to_far), (near, to_near)):
        for packet in way.due(now):
            try:
                os.write(fd, packet)
            except OSError:  # the device is down
                pass
