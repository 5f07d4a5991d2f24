"""A client that writes through redis-py's Sentinel; see WriterKind::Program for what it prints."""

import sys
import time

from redis import exceptions
from redis.sentinel import Sentinel

sentinels, group, prefix, rate = sys.argv[1:]
addresses = [tuple(at.rsplit(":", 1)) for at in sentinels.split(",")]
finder = Sentinel([(host, int(port)) for host, port in addresses], socket_timeout=0.25)
pause, number, master, address = 1 / int(rate), 0, None, None
due = time.monotonic()

while True:
    due = max(due + pause, time.monotonic() - 0.1)
    time.sleep(max(0, due - time.monotonic()))
    try:
        if master is None:
            address = finder.discover_master(group)
            master = finder.master_for(group, socket_timeout=0.1, retry=None)
        number += 1
        master.set(f"{prefix}:{number}", number)
        now = master.connection_pool.master_address or address
        print(f"ack {number} {now[0]}:{now[1]}", flush=True)
    except exceptions.RedisError as error:
        master = None
        print(f"error {type(error).__name__}: {error}", flush=True)
        time.sleep(0.005)
