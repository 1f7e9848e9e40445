"""A proxy for one port: counts what passes, slows it down, lets so much through, and cuts every connection when it is
told to."""
import contextlib
import socket
import threading
import time

PIECE = 1 << 16


class Proxy:
    """Listens on a port of its own. down: bytes from the target to whoever connected."""

    def __init__(self, listen_port, target_port, bytes_per_s=None):
        self.target = ('127.0.0.1', target_port)
        self.bytes_per_s = bytes_per_s
        self.down = self.up = self.connections = 0
        self.up_max = None  # bytes that may pass upwards in all, a piece more at most
        self.lock = threading.Lock()
        self.sockets = set()
        self.listener = socket.create_server(('127.0.0.1', listen_port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.connections += 1
                self.sockets |= {client, server}
            for source, sink, direction in ((client, server, 'up'), (server, client, 'down')):
                # What waits in the kernel is lost at a cut, and counts as sent.
                source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
                threading.Thread(target=self.pump, args=(source, sink, direction), daemon=True).start()

    def pump(self, source, sink, direction):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                with self.lock:
                    setattr(self, direction, getattr(self, direction) + len(data))
                while direction == 'up' and self.is_shut():
                    time.sleep(0.005)
                    source.getpeername()  # until it is cut
                sink.sendall(data)
                if self.bytes_per_s is not None:
                    time.sleep(len(data) / self.bytes_per_s)
        self.end((source, sink))

    def is_shut(self):
        with self.lock:
            return self.up_max is not None and self.up > self.up_max

    def let_up(self, size):
        """So many bytes more; None: all that come."""
        with self.lock:
            self.up_max = None if size is None else self.up + size

    def end(self, sockets):
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self.lock:
                self.sockets.discard(one)
            one.close()

    def cut(self):
        with self.lock:
            sockets = list(self.sockets)
        self.end(sockets)

    def discard(self):
        self.listener.close()
        self.cut()
