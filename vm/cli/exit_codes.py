"""Exit codes of `vm`, where the guest gives none of its own; docs/how-to/exit-codes.md is made of this table."""

FAILED = 1              # also where a guest's code does not fit 8 bits and they are all zero
USAGE = 2
NOT_DONE = 124          # as of timeout(1)
HUNG_UP = 129           # 128 + SIGHUP, as shells say it
INTERRUPTED = 130       # 128 + SIGINT
CRASHED = 139           # 128 + SIGSEGV
NOBODY_READS = 141      # 128 + SIGPIPE
TERMINATED = 143        # 128 + SIGTERM

MEANINGS = {
    0: "done: the guest powered the machine off or gave 0, or you left it with Ctrl-A X",
    FAILED: "a file, a download or the host failed, or rows of `vm bench` did",
    USAGE: "the command line or a variable asks for what there is not, or for a machine that cannot be built",
    NOT_DONE: "the guest was not done within `--max-instructions` or `--timeout`, or waits for what cannot come",
    HUNG_UP: "the terminal went away (SIGHUP)",
    INTERRUPTED: "SIGINT; on a terminal Ctrl-C is the guest's, and Ctrl-A X leaves (0)",
    CRASHED: "the guest crashed: a trap that no handler of its own takes; or `vm fuzz` has found how it does",
    NOBODY_READS: "nobody reads the output any more, as after `| head -1`",
    TERMINATED: "SIGTERM",
}
