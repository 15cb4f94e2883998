# SPDX-License-Identifier: MIT
"""rota's tasks in gdb, in a live process or a core file:

    (gdb) source rota-gdb.py         in share/rota where rota is installed
    (gdb) rota ps                   the tasks of all reactors
    (gdb) rota tree                 the same, who spawned whom
    (gdb) rota bt TASK [REACTOR]    the stack of a task: its number as ps prints it, or its address
    (gdb) rota bt all
    (gdb) rota generator EXPRESSION a generator: where it yielded

The idea: a suspended task keeps its stack pointer, frame pointer and resume address in its context.
While `rota bt` runs, an unwinder tells gdb that the frame outside the thread's innermost one is
that place. No register of the program is changed, so it works on core files and harms nothing.
Needs the debug information of the program.
"""
import gdb
import gdb.unwinder

LIST_MAX = 1000000      # a damaged list may be a circle
REGISTERS = {           # pc, sp, fp
    "i386:x86-64": ("rip", "rsp", "rbp"),
    "aarch64": ("pc", "sp", "x29"),
}


def links(head, kind, member):
    """The objects on an intrusive list."""
    offset = next(field.bitpos // 8 for field in gdb.lookup_type(kind).fields()
                  if field.name == member)
    link = head["next"]
    for _ in range(LIST_MAX):
        if link == head.address:
            return
        yield (link.cast(gdb.lookup_type("char").pointer()) - offset).cast(
            gdb.lookup_type(kind).pointer())
        link = link["next"]


def reactors():
    """All of the process, with their slots."""
    table = gdb.lookup_global_symbol("rota__reactors")
    if table is None:
        raise gdb.GdbError("no rota in this program, or no debug information")
    table = table.value()
    low, high = table.type.range()
    for slot in range(low, high + 1):
        if int(table[slot]):
            yield slot, table[slot]


def children(scope):
    """Tasks spawned into a scope."""
    for name in ("children_", "unswept_"):
        yield from links(scope[name], "struct rota_task", "scope_link")


def tasks(scope, depth=0):
    """Depth and task, each before those that were spawned into its open scopes."""
    for task in children(scope):
        yield depth, task
        inner = []
        own = task["scope"]
        while int(own) and own != task["owner"]:
            inner.insert(0, own)
            own = own["parent_"]
        for opened in inner:
            yield from tasks(opened.dereference(), depth + 1)


def text(value):
    """A C string."""
    return value.string(errors="replace") if int(value) else "?"


def place(site):
    """Where something was spawned or made."""
    return f"{text(site['file'])}:{int(site['line'])} ({text(site['function'])})"


def enumerator(name, number):
    """What the enum calls the number, as words."""
    return next((field.name.rpartition("_")[2].lower() for field in gdb.lookup_type(name).fields()
                 if field.enumval == int(number)), "?")


def describe(task):
    """One task in a line's part."""
    state = enumerator("enum task_state", task["state"])
    waits = ""
    if state == "suspended" and int(task["waiting"]):
        kind = int(task["waiting"]["waits"][0]["future"]["kind_"])
        waits = ", " + next((field.name[len("ROTA_WAIT_"):].lower().replace("_", " ")
                             for field in gdb.lookup_type("enum rota_wait_kind").fields()
                             if field.enumval == kind), "?")
    return (f"{int(task['id'])} \"{text(task['name'])}\" {state}{waits}, spawned at "
            + place(task["site"]))


def describe_generator(generator):
    """The same of a generator."""
    return f"generator \"{text(generator['name'])}\", made at {place(generator['site'])}"


class Unwinder(gdb.unwinder.Unwinder):
    """While it has a context: the frame outside the innermost is where that is suspended."""

    def __init__(self):
        super().__init__("rota task")
        self.context = None
        self.innermost = 0

    def __call__(self, pending):
        if self.context is None:
            return None
        pc, sp, fp = REGISTERS[pending.architecture().name()]
        if int(pending.read_register(sp)) != self.innermost:
            return None
        context = self.context
        info = pending.create_unwind_info(Frame(pending.read_register(sp),
                                                pending.read_register(pc)))
        pointer = gdb.lookup_type("char").pointer()
        info.add_saved_register(pc, context["resume"].cast(pointer))
        info.add_saved_register(sp, context["sp"].cast(pointer))
        info.add_saved_register(fp, context["fp"].cast(pointer))
        return info


class Frame:
    """What gdb tells frames apart by."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


UNWINDER = Unwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


def stack(context):
    """The lines of the stack on which a context is suspended."""
    frame = gdb.newest_frame()
    _, sp, _ = REGISTERS[frame.architecture().name()]
    UNWINDER.innermost = int(frame.read_register(sp))
    UNWINDER.context = context
    gdb.invalidate_cached_frames()
    try:
        lines = gdb.execute("backtrace", to_string=True).splitlines()
    finally:
        UNWINDER.context = None
        gdb.invalidate_cached_frames()
    # The thread's own innermost frame is not the context's.
    first = next((i for i, line in enumerate(lines) if line.startswith("#1 ")), len(lines))
    return lines[first:]


def show_stacks(task):
    """A suspended task's: those of the generators it is in, each above who drives it."""
    context = task["context"]
    generator = task["generator"]
    while int(generator):
        print(f"inside {describe_generator(generator)}")
        print("\n".join(stack(context)))
        print("driven by")
        context = generator["driver"]
        generator = generator["below"]
    print("\n".join(stack(context)))


class Rota(gdb.Command):
    """Look at rota's tasks."""

    def __init__(self):
        super().__init__("rota", gdb.COMMAND_STACK, prefix=True)


class Ps(gdb.Command):
    """List the tasks of all reactors."""

    def __init__(self, name="rota ps", is_tree=False):
        super().__init__(name, gdb.COMMAND_STACK)
        self.is_tree = is_tree

    def invoke(self, _argument, _from_tty):
        """What gdb calls."""
        for _, reactor in reactors():
            print(f"reactor {int(reactor['index'])}")
            for depth, task in tasks(reactor["root"]):
                print("  " * (1 + depth * self.is_tree) + "task " + describe(task))


class Backtrace(gdb.Command):
    """Print the stack of a task: rota bt NUMBER [REACTOR], rota bt ADDRESS, rota bt all."""

    def __init__(self):
        super().__init__("rota bt", gdb.COMMAND_STACK)

    def invoke(self, argument, _from_tty):
        """What gdb calls."""
        wanted = gdb.string_to_argv(argument)
        if not wanted or len(wanted) > 2:
            raise gdb.GdbError("rota bt NUMBER [REACTOR], ADDRESS, or all")
        found = 0
        for _, reactor in reactors():
            if len(wanted) == 2 and int(reactor["index"]) != int(wanted[1], 0):
                continue
            for _, task in tasks(reactor["root"]):
                if wanted[0] == "all" or int(wanted[0], 0) in (int(task["id"]), int(task)):
                    found += 1
                    self.show(reactor, task)
        if not found:
            raise gdb.GdbError(f"there is no task {argument}; see rota ps")

    @staticmethod
    def show(reactor, task):
        """One task."""
        print(f"reactor {int(reactor['index'])}, task {describe(task)}")
        if enumerator("enum task_state", task["state"]) == "running":
            print("  it runs: see its reactor's thread with bt")
        elif int(task["context"]["fp"]) == 0:
            print("  it has not begun")
        else:
            show_stacks(task)


class Generator(gdb.Command):
    """Print where a generator is: rota generator EXPRESSION, a struct rota_generator *."""

    def __init__(self):
        super().__init__("rota generator", gdb.COMMAND_STACK)

    def invoke(self, argument, _from_tty):
        """What gdb calls."""
        if not argument:
            raise gdb.GdbError("rota generator EXPRESSION")
        generator = gdb.parse_and_eval(argument)
        if generator.type.strip_typedefs() != gdb.lookup_type("struct rota_generator").pointer():
            raise gdb.GdbError(f"{argument} is no struct rota_generator *")
        while int(generator):
            self.show(generator)
            generator = generator["inner"]
            if int(generator):
                print("which delegates to")

    @staticmethod
    def show(generator):
        """One generator."""
        state = enumerator("enum generator_state", generator["state"])
        print(describe_generator(generator))
        if state == "suspended":
            print("\n".join(stack(generator["context"])))
        else:
            print({"fresh": "  it has not begun", "ended": "  it has ended"}.get(
                state, "  it runs: see the task that drives it with rota bt"))


Rota()
Ps()
Ps("rota tree", True)
Backtrace()
Generator()
