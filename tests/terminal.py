"""A person at a terminal: python3 tests/terminal.py COMMAND... < SCRIPT

Runs the command on a pseudo-terminal of 80 columns and 24 rows. Each line of the script is

    wait TEXT    until the terminal has shown TEXT, behind what was waited for before; 30 seconds at most
    send TEXT    types it
    kill SIGNAL  by its number, to the command and those that it started

with escapes as in Python ("\\r", "\\x1b[A"). Then waits for the command's end. Prints all that the terminal was shown;
ends with the command's status, or 99 with a line on standard error if a text did not come or the command did not end."""
import codecs, fcntl, os, pty, select, signal, struct, sys, termios, time

def fail(why):
    sys.stdout.buffer.write(shown)
    print("terminal.py:", why, file=sys.stderr)
    os.kill(child, 9)
    sys.exit(99)

def read(seconds):
    """What comes within so many seconds; b"" at the end, None if nothing comes."""
    if not select.select([terminal], [], [], seconds)[0]: return None
    try: return os.read(terminal, 65536)
    except OSError: return b""

child, terminal = pty.fork()
if child == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL) # a job in the background inherits that it is ignored
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
shown, seen = b"", 0
for line in sys.stdin:
    verb, _, text = line.rstrip("\n").partition(" ")
    text = codecs.escape_decode(text.encode())[0]
    if verb == "send": os.write(terminal, text)
    elif verb == "kill": os.killpg(child, int(text))
    elif verb == "wait":
        end = time.monotonic() + 30
        while (at := shown.find(text, seen)) < 0:
            more = read(1)
            if more: shown += more
            if more == b"" or time.monotonic() > end: fail("never shown: %r" % text)
        seen = at + len(text)
end = time.monotonic() + 30
while (more := read(1)) != b"":
    if more: shown += more
    if time.monotonic() > end: fail("the command does not end")
sys.stdout.buffer.write(shown)
status = os.waitpid(child, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
