"""What the Python scripts share: checks that are sentences, and one key for every slot.

A script is called with the port of a server that may be emptied, and the major version of the library it is to find. It
prints a line per check, `ok` and the sentence, and ends at the first that fails with its name and status 1. The same
scripts pass against a plain redis-server (the cluster ones against one in cluster mode): what they ask for is what
Redis does.
"""

import binascii
import sys
import time
import traceback

HOST = "127.0.0.1"
SLOTS = 16384


def port():
    return int(sys.argv[1])


def require_major(library, version):
    """Ends the script unless the library is the one that the caller meant to test."""
    wanted = sys.argv[2]
    if version.split(".")[0] != wanted:
        sys.exit(f"FAILED  this is {library} {version}, not {wanted}")
    print(f"{library} {version}, Python {sys.version.split()[0]}", flush=True)


class Checks:
    """Collects the checks of a script in the order in which they are written."""

    def __init__(self):
        self.known = []

    def __call__(self, sentence):
        def add(function):
            self.known.append((sentence, function))
            return function

        return add

    def run(self, before="", *arguments):
        """Runs every check with the same arguments; `before` says what is special about them."""
        for sentence, function in self.known:
            name = f"{before}{sentence}"
            began = time.monotonic()
            try:
                function(*arguments)
            except BaseException:
                traceback.print_exc(file=sys.stdout)
                print(f"FAILED  {name}", flush=True)
                sys.exit(1)
            print(f"ok  {name}  ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {shortened(found)}, wanted {shortened(wanted)}")


def true(found, meaning):
    if not found:
        raise AssertionError(f"not true: {meaning}")


def shortened(value):
    text = repr(value)
    return text if len(text) <= 500 else f"{text[:500]}... ({len(text)} characters)"


def raises(kind, start, function, *arguments, **named):
    """The error's text begins with `start`; libraries drop the first word where it has a class of its own."""
    try:
        found = function(*arguments, **named)
    except kind as error:
        true(str(error).startswith(start), f"{str(error)!r} starts with {start!r}")
        return error
    raise AssertionError(f"no {kind.__name__} but {shortened(found)}")


def eventually(condition, meaning, seconds=10):
    """Waits for what happens by itself, such as the end of a key's life."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {meaning}")
        time.sleep(0.005)


def slot(key):
    """CRC16 (XMODEM) of the key or of its hash tag."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def a_key_for_every_slot():
    """16384 keys, in the order of a counter, that is: of no order of slots."""
    found = {}
    number = 0
    while len(found) < SLOTS:
        key = b"every:%d" % number
        found.setdefault(slot(key), key)
        number += 1
    return list(found.values())
