"""enter PASSWORD: tries to get in as bob, by each way at once, and says which let him in."""

import os
import pty
import select
import sys
import threading
import time

PROVES = "echo IN-$((40+2))"
WAYS = {
    "login": ["login", "bob"],
    "su": ["runuser", "-u", "visitor", "--", "su", "bob", "-c", PROVES],
    "sudo": ["runuser", "-u", "bob", "--", "sudo", "-k", "sh", "-c", PROVES],
    "ssh": [
        "ssh",
        "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null",
        "-o", "PubkeyAuthentication=no",
        "-o", "NumberOfPasswordPrompts=1",
        "bob@127.0.0.1", PROVES,
    ],
}
REFUSED = [b"incorrect", b"denied", b"failure", b"try again", b"Connection reset", b"Connection closed"]
LIMIT_S = 60


def enter(way, password):
    """Does he get in? And all that was said."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(WAYS[way][0], WAYS[way])
    said, answered, asked, ended = b"", False, False, False
    until = time.monotonic() + LIMIT_S
    entered = False
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:
            # login(1) hangs its terminal up, and opens it again (vhangup(2)).
            if os.waitpid(child, os.WNOHANG) == (0, 0):
                time.sleep(0.1)
                continue
            ended = True
            break
        if not more:
            break
        said += more
        if not answered and b"assword" in said:
            # login(1) throws away what was typed before it asked.
            time.sleep(0.3)
            os.write(terminal, password.encode() + b"\n")
            answered, said = True, b""
        elif answered and b"IN-42" in said:
            entered = True
            break
        elif answered and any(word in said for word in REFUSED):
            break
        elif answered and way == "login" and not asked and b"$ " in said:
            os.write(terminal, PROVES.encode() + b"\n")
            asked = True
    os.close(terminal)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return entered, said


answers = {}


def ask(way):
    answers[way] = enter(way, sys.argv[1])


# One process each: a fork within threads is safe here, since the child only executes.
threads = [threading.Thread(target=ask, args=[way]) for way in WAYS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for way in WAYS:
    entered, said = answers[way]
    print(way, "yes" if entered else "no")
    print(way, said, file=sys.stderr)
